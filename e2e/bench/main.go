// Command bench measures Berth's promises about speed and cost, on one control plane and in one run. It compares the
// rollout with that of a bare client, which only sends the same writes and watches.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"berth.dev/berth/internal/clustertest"
)

func main() {
	o := defaults
	parts, output := "", ""
	flag.IntVar(&o.branches, "branches", o.branches, "how many branches there are; in the part fleet, in each cluster")
	flag.IntVar(&o.objects, "objects", o.objects, "how many objects the large environment has")
	flag.IntVar(&o.attackSize, "attack-size", o.attackSize, "how large the attacks are, about the number of objects that one brings")
	flag.IntVar(&o.attackSamples, "attack-samples", o.attackSamples, "how often production is deployed under each attack")
	flag.IntVar(&o.references, "references", o.references, "how many references a repository has beside its branches where a poll is measured")
	flag.IntVar(&o.encrypted, "encrypted", o.encrypted, "with how many encrypted files an agent restarts")
	flag.IntVar(&o.pages, "pages", o.pages, "how many pages of viewers are open")
	flag.IntVar(&o.farClusters, "clusters", o.farClusters, "how many other clusters the agent has; a quarter of them hang, except in the part fleet")
	flag.IntVar(&o.rounds, "rounds", o.rounds, "how often the rollout is measured, with each client in turn")
	flag.IntVar(&o.samples, "samples", o.samples, "how often drift and hooks are measured")
	flag.IntVar(&o.workers, "workers", o.workers, "how many requests the bare client sends at a time")
	flag.DurationVar(&o.idle, "idle", o.idle, "for how long nothing happens where idleness is measured")
	flag.DurationVar(&o.settle, "settle", o.settle, "for how long nothing happens before memory is measured")
	flag.StringVar(&o.binary, "binary", ".build/berth", "path of berth")
	flag.StringVar(&o.watchSecrets, "watch-secrets", o.watchSecrets, "how the agent watches Secrets: namespaces, or cluster")
	flag.StringVar(&o.profiles, "profiles", "", "folder for the agent's CPU and allocation profiles; empty: none are taken")
	flag.DurationVar(&o.profileTime, "profile-time", o.profileTime, "how long a CPU profile goes on")
	flag.StringVar(&parts, "parts", strings.Join(usualParts(), ","), "what is measured, besides these: fleet")
	flag.StringVar(&output, "json", "", "file for the figures; empty: only the table")
	flag.Parse()
	for _, part := range strings.Split(parts, ",") {
		if !slices.Contains(partNames(), part) {
			fmt.Fprintf(os.Stderr, "bench: there is no part %q; there are %s\n", part, strings.Join(partNames(), ", "))
			os.Exit(2)
		}
		o.parts = append(o.parts, part)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	figures, err := run(ctx, o)
	if err == nil {
		err = publish(output, figures)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(3)
	}
}

// run starts a control plane and measures on it.
func run(ctx context.Context, o options) ([]figure, error) {
	dir, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cluster, err := clustertest.Run(ctx, clustertest.Config{Audit: true})
	if err != nil {
		return nil, err
	}
	defer cluster.Stop()
	return measure(&reporter{ctx: ctx}, cluster, dir, o), nil
}

func publish(output string, figures []figure) error {
	fmt.Println(table(figures))
	if output == "" {
		return nil
	}
	text, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(output), 0o755); err != nil {
		return err
	}
	return os.WriteFile(output, append(text, '\n'), 0o644)
}

// reporter ends the program at the first failure. The control plane and the agent end with it.
type reporter struct{ ctx context.Context }

func (*reporter) Helper() {}

func (r *reporter) Context() context.Context { return r.ctx }

func (*reporter) Logf(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, arguments...))
}

func (*reporter) Fatalf(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", arguments...)
	os.Exit(3)
}
