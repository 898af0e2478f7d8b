package secrets_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/secrets"
)

// cost measures a decryption: wall time, and processor time of this process and of the workers. The workers have ended
// before it reads that time.
func cost(b *testing.B, decrypt func(w *secrets.Workers)) {
	command := []string{sopstest.Worker(b)}
	before := spent(b)
	for b.Loop() {
		w := secrets.NewWorkers(secrets.WorkersConfig{Command: command})
		decrypt(w)
		w.Close()
	}
	b.ReportMetric(float64((spent(b)-before).Microseconds())/1e3/float64(b.N), "cpu-ms/op")
}

// spent returns the processor time of this process and of its children that have ended.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var sum int64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if err := syscall.Getrusage(who, &usage); err != nil {
			b.Fatal(err)
		}
		sum += usage.Utime.Nano() + usage.Stime.Nano()
	}
	return time.Duration(sum)
}

// BenchmarkFirst decrypts the first Secret of an entry, which starts its worker.
func BenchmarkFirst(b *testing.B) {
	content, keys := golden(b, "secret.yaml"), keysOf(b, "production")
	cost(b, func(w *secrets.Workers) {
		d := secrets.New(secrets.Config{Keys: keys, Workers: w, Cache: secrets.NewCache(0)})
		if _, err := d.Open(b.Context(), "secret.yaml", content); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkShared decrypts one file that 50 branches share.
func BenchmarkShared(b *testing.B) {
	content, keys := golden(b, "secret.yaml"), keysOf(b, "production")
	cost(b, func(w *secrets.Workers) {
		cache := secrets.NewCache(0)
		var branches sync.WaitGroup
		for range 50 {
			branches.Go(func() {
				d := secrets.New(secrets.Config{Keys: keys, Workers: w, Cache: cache})
				if _, err := d.Open(b.Context(), "secret.yaml", content); err != nil {
					b.Error(err)
				}
			})
		}
		branches.Wait()
		if got := cache.Stats().Misses; got != 1 {
			b.Errorf("it was decrypted %d times", got)
		}
	})
}

// BenchmarkDifferent decrypts the given number of different files of one entry, one after the other, as the agent's
// passes do. With 200 it shows the restart of an agent with as many files.
func BenchmarkDifferent(b *testing.B) {
	content, keys := golden(b, "secret.yaml"), keysOf(b, "production")
	for _, n := range []int{200, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			cost(b, func(w *secrets.Workers) {
				d := secrets.New(secrets.Config{Keys: keys, Workers: w, Cache: secrets.NewCache(0)})
				for i := range n {
					if _, err := d.Open(b.Context(), fmt.Sprintf("%d.yaml", i), content); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkIdleWorker reports the memory of an idle worker that has decrypted before.
func BenchmarkIdleWorker(b *testing.B) {
	d := with(b, "production")
	for b.Loop() {
		if _, err := d.Open(b.Context(), "secret.yaml", golden(b, "secret.yaml")); err != nil {
			b.Fatal(err)
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		b.Fatal(err)
	}
	for _, process := range processes {
		text, err := os.ReadFile(process)
		if err != nil || !strings.Contains(string(text), fmt.Sprintf("\nPPid:\t%d\n", os.Getpid())) {
			continue // another process' child, or gone
		}
		for name, unit := range map[string]string{"RssAnon": "MB-anonymous", "VmRSS": "MB-resident"} {
			var kB float64
			if _, value, ok := strings.Cut(string(text), name+":"); ok {
				if _, err := fmt.Sscan(value, &kB); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(kB/1e3, unit)
		}
	}
}

func BenchmarkEncrypted(b *testing.B) {
	plain := []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec: {replicas: 2}\n")
	for b.Loop() {
		if secrets.Encrypted("api.yaml", plain) {
			b.Fatal("it is plain")
		}
	}
}
