// Package kustomizetest lets a test binary be the child process that builds kustomizations, as the program itself is.
package kustomizetest

import (
	"os"

	"berth.dev/berth/reconciler/kustomize"
)

const verb = "build-a-kustomization"

// Serve does what a child process does, and exits, if this is one. A TestMain calls it first.
func Serve() {
	if len(os.Args) == 2 && os.Args[1] == verb {
		os.Exit(kustomize.Serve(os.Stdin, os.Stdout))
	}
}

// Builder builds with the default limits, in processes of a test binary whose TestMain calls Serve.
func Builder() *kustomize.Builder { return Limited(kustomize.DefaultLimits) }

// Limited is Builder with other limits.
func Limited(l kustomize.Limits) *kustomize.Builder {
	return kustomize.New(kustomize.Config{Command: []string{os.Args[0], verb}, Limits: l, AtOnce: 2})
}
