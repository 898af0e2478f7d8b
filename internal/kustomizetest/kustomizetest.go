// Package kustomizetest makes a test binary serve as the child process that builds kustomizations, as the program
// itself does.
package kustomizetest

import (
	"os"

	"berth.dev/berth/reconciler/kustomize"
)

const verb = "build-a-kustomization"

// Serve runs the child process and exits, if this process is one. A TestMain calls it first.
func Serve() {
	if len(os.Args) == 2 && os.Args[1] == verb {
		os.Exit(kustomize.Serve(os.Stdin, os.Stdout))
	}
}

// Builder returns a Builder with the default limits. It builds in processes of a test binary whose TestMain calls
// Serve.
func Builder() *kustomize.Builder { return Limited(kustomize.DefaultLimits) }

// Limited returns a Builder with other limits.
func Limited(l kustomize.Limits) *kustomize.Builder {
	return kustomize.New(kustomize.Config{Command: []string{os.Args[0], verb}, Limits: l, AtOnce: 2})
}
