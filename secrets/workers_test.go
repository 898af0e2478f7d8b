package secrets_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"berth.dev/berth/secrets"
)

// obedientWorkers returns workers that run this binary.
func obedientWorkers(t *testing.T, change ...func(*secrets.WorkersConfig)) *secrets.Workers {
	t.Helper()
	c := secrets.WorkersConfig{Command: []string{os.Args[0], "obey"}}
	for _, set := range change {
		set(&c)
	}
	w := secrets.NewWorkers(c)
	t.Cleanup(w.Close)
	return w
}

// ordering returns a file with an order for the worker.
func ordering(order string) []byte {
	return []byte("do: " + order + "\nsops:\n  lastmodified: \"2026-02-03T04:05:06Z\"\n  mac: x\n  age: [{recipient: age1x, enc: x}]\n")
}

func obeying(t *testing.T, w *secrets.Workers, names ...string) *secrets.Decrypter {
	t.Helper()
	return secrets.New(secrets.Config{Keys: keysOf(t, names...), Workers: w})
}

func TestEachKeySetHasAWorkerOfItsOwn(t *testing.T) {
	w := obedientWorkers(t)
	for range 2 {
		for _, name := range []string{"production", "review"} {
			got, err := obeying(t, w, name).Decrypt(t.Context(), "a.yaml", ordering("say"))
			if want := keysOf(t, name).Recipients()[0]; err != nil || string(got) != "say "+want {
				t.Errorf("%s: got %q, %v, want the key of %s alone", name, got, err, want)
			}
		}
	}
	if n := w.Running(); n != 2 {
		t.Errorf("%d processes run for two key sets", n)
	}
}

// await waits for a condition, and fails the test with the message if it does not become true.
func await(t *testing.T, message string, condition func() bool) {
	t.Helper()
	for began := time.Now(); !condition(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal(message)
		}
	}
}

// With so short a time, the process often becomes idle for too long before its last user has left.
func TestWorkersEndWhenTheyHaveNothingToDo(t *testing.T) {
	w := obedientWorkers(t, func(c *secrets.WorkersConfig) { c.Idle = time.Nanosecond })
	for range 3 {
		if _, err := obeying(t, w, "production").Decrypt(t.Context(), "a.yaml", ordering("say")); err != nil {
			t.Fatal(err)
		}
		await(t, "it still runs", func() bool { return w.Running() == 0 })
	}
}

func TestWorkersAreFew(t *testing.T) {
	w := obedientWorkers(t, func(c *secrets.WorkersConfig) { c.AtOnce = 2 })
	var files sync.WaitGroup
	for _, names := range [][]string{{"production"}, {"review"}, {"hybrid"}, {"production", "review"}, {"ssh-rsa"}} {
		d := obeying(t, w, names...)
		for range 4 {
			files.Go(func() {
				if _, err := d.Decrypt(t.Context(), "a.yaml", ordering("say")); err != nil {
					t.Error(err)
				}
				if n := w.Running(); n > 2 {
					t.Errorf("%d processes run", n)
				}
			})
		}
	}
	files.Wait()
}

func TestAFileThatExhaustsItsWorker(t *testing.T) {
	limited := func(limits secrets.Limits) *secrets.Workers {
		return obedientWorkers(t, func(c *secrets.WorkersConfig) { c.Limits = limits })
	}
	// Each order meets only its own limit, however slow the machine is.
	small, busy, impatient := limited(secrets.Limits{Memory: 64 << 20}), limited(secrets.Limits{CPU: 500 * time.Millisecond}), limited(secrets.Limits{Time: time.Second})
	for _, test := range []struct {
		order, want string
		reason      secrets.Reason
	}{
		{"spin", "the file exhausts the processor time that decrypting one file may take: 500ms; split the file", secrets.Exhausting},
		{"allocate", "the file exhausts the memory that decrypting one file may take: 64 MiB; split the file", secrets.Exhausting},
		{"answer much", "the file exhausts ", secrets.Exhausting},
		{"hang", "its decryption did not finish: it takes more time than the limit of 1s", secrets.Unfinished},
		{"end", "its decryption did not finish: berth-sops ended: its process crashed: exit status 3; if it happens again, compare its version with that of berth", secrets.Unfinished},
		{"panic", "SOPS failed on it; let a current version of SOPS write it again: sops rotate -i a.yaml", secrets.Failing},
		{"panic elsewhere", "SOPS failed on it; let a current version", secrets.Failing},
	} {
		w := small
		switch test.order {
		case "spin":
			w = busy
		case "hang":
			w = impatient
		}
		d := obeying(t, w, "production")
		_, err := d.Decrypt(t.Context(), "a.yaml", ordering(test.order))
		var e *secrets.Error
		if !errors.As(err, &e) || e.Reason != test.reason || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", test.order, err)
		}
		if e != nil && e.Temporary() != (test.reason == secrets.Unfinished) {
			t.Errorf("%s: temporary is %t", test.order, e.Temporary())
		}
		_, err = d.Decrypt(t.Context(), "a.yaml", ordering("say"))
		for deadline := time.Now().Add(time.Minute); w == impatient && err != nil && time.Now().Before(deadline); { // its start takes some of the second
			_, err = d.Decrypt(t.Context(), "a.yaml", ordering("say"))
		}
		if err != nil {
			t.Errorf("after %s: %v", test.order, err)
		}
	}
}

// An earlier file may be the reason for a crash or a lack of memory, so the next one is tried in a new worker.
func TestAFileLeavesNothingToTheNext(t *testing.T) {
	w := obedientWorkers(t, func(c *secrets.WorkersConfig) { c.Limits.Memory = 64 << 20 })
	d := obeying(t, w, "production")
	for _, order := range []string{"panic later", "fill", "panic later"} {
		for _, order := range []string{order, "need", "say"} {
			if _, err := d.Decrypt(t.Context(), "a.yaml", ordering(order)); err != nil {
				t.Errorf("%s: %v", order, err)
			}
		}
	}
}

// With remote keys, the answer of a service may be the reason for a crash, so a retry follows.
func TestACrashBesideARemoteKeyMayPass(t *testing.T) {
	for _, order := range []string{"panic", "panic elsewhere"} {
		keys, err := secrets.ParseKeys(map[string][]byte{"a.agekey": golden(t, "production.agekey"), "sops.vault-token": []byte("hvs.token")})
		if err != nil {
			t.Fatal(err)
		}
		_, err = secrets.New(secrets.Config{Keys: keys, Workers: obedientWorkers(t)}).Decrypt(t.Context(), "a.yaml", ordering(order))
		var e *secrets.Error
		if !errors.As(err, &e) || !e.Temporary() || err.Error() != "its decryption did not finish: SOPS failed on it" {
			t.Errorf("%s: got %v", order, err)
		}
	}
}

// A file that uses all of its time delays only its own entry.
func TestAFileThatHangsHoldsUpNoOtherKeySet(t *testing.T) {
	w := obedientWorkers(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := obeying(t, w, "review").Decrypt(ctx, "a.yaml", ordering("hang"))
		ended <- err
	}()
	await(t, "it did not begin", func() bool { return w.Running() > 0 })
	if _, err := obeying(t, w, "production").Decrypt(t.Context(), "a.yaml", ordering("say")); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAWorkerThatIsNotThere(t *testing.T) {
	w := secrets.NewWorkers(secrets.WorkersConfig{Command: []string{"/nowhere/berth-sops"}})
	_, err := obeying(t, w, "production").Decrypt(t.Context(), "a.yaml", ordering("say"))
	const want = "its decryption did not finish: its worker does not start: fork/exec /nowhere/berth-sops: no such file or directory; install berth-sops beside berth, or name it: --sops-worker FILE"
	var e *secrets.Error
	if !errors.As(err, &e) || !e.Temporary() || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// A caller that gives up does not cancel the result for the other callers.
func TestTheCacheOutlivesWhoGivesUp(t *testing.T) {
	w, cache := obedientWorkers(t), secrets.NewCache(0)
	d := secrets.New(secrets.Config{Keys: keysOf(t, "production"), Workers: w, Cache: cache})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Decrypt(ctx, "a.yaml", ordering("say")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := d.Decrypt(t.Context(), "a.yaml", ordering("say")); err != nil {
		t.Error(err)
	}
}

// A program that is not a worker says nothing about the file.
func TestAProgramThatIsNoWorker(t *testing.T) {
	w := secrets.NewWorkers(secrets.WorkersConfig{Command: []string{"cat"}})
	t.Cleanup(w.Close)
	// It gets its limits first, and sends them back in place of an answer.
	_, err := obeying(t, w, "production").Decrypt(t.Context(), "a.yaml", ordering("say"))
	var e *secrets.Error
	if !errors.As(err, &e) || !e.Temporary() || err.Error() != "its decryption did not finish: berth-sops and berth have different versions; install both from one release" {
		t.Errorf("got %v", err)
	}
}
