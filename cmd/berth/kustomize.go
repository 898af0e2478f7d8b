package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"berth.dev/berth/reconciler/kustomize"
)

// kustomizeVerb is the command of a process that builds a kustomization.
const kustomizeVerb = "kustomize-build"

// newKustomize returns the command of such a process. Only the program itself runs it.
func newKustomize(s streams) *cobra.Command {
	return &cobra.Command{
		Use:    kustomizeVerb,
		Short:  "Build the kustomization that is described on the standard input",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return &codedError{code: kustomize.Serve(s.in, s.out)}
		},
	}
}

// builds returns a Builder that builds kustomizations in processes of this program.
func builds(l kustomize.Limits, atOnce int) *kustomize.Builder {
	program, _ := os.Executable() // without it, each build reports that it cannot be started
	return kustomize.New(kustomize.Config{Command: []string{program, kustomizeVerb}, Limits: l, AtOnce: atOnce})
}

// kustomizeOptions are the flags that limit builds.
type kustomizeOptions struct {
	memory resource.QuantityValue
	cpu    time.Duration
	atOnce int
}

func (o *kustomizeOptions) addTo(c *cobra.Command) {
	o.memory.Quantity = *resource.NewQuantity(kustomize.DefaultLimits.Memory, resource.BinarySI)
	f := c.Flags()
	f.Var(&o.memory, "kustomize-memory", "maximum memory of one build of a kustomization")
	f.DurationVar(&o.cpu, "kustomize-cpu", kustomize.DefaultLimits.CPU, "maximum processor time of one build of a kustomization; its elapsed time may be four times as long")
	f.IntVar(&o.atOnce, "kustomize-at-once", 3, "maximum number of builds of kustomizations at the same time; from 2 on, one place is reserved for entries whose branches are all literal; from 3 on, each Repository uses at most one of the other places")
}

func (o *kustomizeOptions) builder() *kustomize.Builder {
	return builds(kustomize.Limits{Memory: o.memory.Value(), CPU: o.cpu, Time: 4 * o.cpu}, o.atOnce)
}
