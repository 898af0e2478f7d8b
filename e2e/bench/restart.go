package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/sopstest"
)

// The key Secret of the encrypted files.
const keySecret = "bench-keys"

// restarts measures how long a new agent takes until it knows again what runs, with many Secrets in one environment. It
// compares encrypted files with plain ones.
func (b *bench) restarts() []figure {
	if b.standing != nil {
		b.remove(b.standing)
		b.standing = nil
	}
	identity, metadata := sopstest.AgeKey(b.t)
	b.world.SetSecret(b.t, keySecret, map[string]string{"age.agekey": identity})
	var figures []figure
	for _, secrets := range []int{0, b.encrypted} {
		kind := "plain"
		if secrets > 0 {
			kind = "encrypted"
		}
		files := map[string]string{}
		for i := range b.encrypted {
			name := fmt.Sprintf("secret-%04d", i)
			text := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\nstringData: {password: %s}\n", name, name)
			if secrets > 0 {
				text = string(sopstest.ForgeSecret(b.t, metadata, name, name))
			}
			files[folder+"/"+name+".yaml"] = text
		}
		figures = append(figures, b.restartsWith(kind, files, secrets)...)
	}
	return figures
}

// restartsWith restarts the agent several times while it follows a repository with these files, some of them encrypted.
func (b *bench) restartsWith(kind string, files map[string]string, encrypted int) []figure {
	git := b.server.Repository("restart-" + kind)
	git.Commit("main", files, "begin")
	t := b.follow("restart-"+kind, func(spec *v1alpha1.RepositorySpec) {
		spec.URL = git.URL()
		spec.Environments[0].Name, spec.Environments[0].Branches = "production", []v1alpha1.BranchPattern{"main"}
		spec.Environments[0].Namespace = "restart-" + kind
		spec.Environments[0].Decryption = &v1alpha1.Decryption{SecretRef: &v1alpha1.SecretReference{Name: keySecret}}
	})
	t.Environment("main").BecomesWithin(limit, v1alpha1.ReasonHealthy, git.Head("main"))
	var took, cpu []float64
	for range b.rounds {
		b.rest(b.settle / 10)
		if err := b.world.Agent.Stop(); err != nil {
			b.t.Fatalf("%v", err)
		}
		began := time.Now()
		if err := b.world.Agent.Start(); err != nil {
			b.t.Fatalf("%v", err)
		}
		world.AwaitFor(b.t, limit, "the agent has made a pass", func() (string, bool) {
			passes, decrypted := b.counted("berth_pass_duration_seconds_count"), int(b.counted("berth_decryption_duration_seconds_count"))
			return fmt.Sprintf("%v passes, %d files are decrypted", passes, decrypted), passes > 0 && decrypted == encrypted
		})
		took = append(took, milliseconds(time.Since(began)))
		cpu = append(cpu, milliseconds(b.spent()))
	}
	what := fmt.Sprintf("%d %s files", len(files), kind)
	figures := append([]figure{
		of("restart with "+what+": until the first pass has ended", "ms", took),
		of("restart with "+what+": CPU of the agent and its children until then", "ms", cpu),
	}, b.held("memory after a restart with "+what)...)
	for _, pid := range b.world.Agent.Children() {
		if held, err := memoryOf(pid); err == nil { // otherwise it has just ended
			figures = append(figures, figure{Name: "memory of its worker: anonymous", Unit: "MB", Value: held.anonymous})
		}
	}
	b.remove(t)
	return figures
}

// spent returns the CPU time of the agent and of its children.
func (b *bench) spent() (sum time.Duration) {
	for _, pid := range append(b.world.Agent.Children(), b.world.Agent.PID()) {
		if p, err := processOf(pid); err == nil { // otherwise it has just ended, and counts as inherited
			sum += p.own + p.inherited
		}
	}
	return sum
}

// counted returns the sum of a metric over all of its labels; 0 if it is not served yet.
func (b *bench) counted(metric string) (sum float64) {
	answer, err := http.Get("http://" + b.metricsAddress + "/metrics")
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatalf("cannot read the agent's metrics: %v", err)
	}
	for line := range bytes.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		if name, _, _ = strings.Cut(name, "{"); name == metric {
			number, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.t.Fatalf("the agent's metric %s is %q", metric, line)
			}
			sum += number
		}
	}
	return sum
}
