package berth_test

import (
	"slices"
	"testing"
	"testing/fstest"
)

// Each rule is tested with a violation, and with a similar case that is allowed.
func TestImportsFindsViolations(t *testing.T) {
	for _, test := range []struct {
		name string
		file string
		text string
		want []string
	}{
		{
			name: "an arrow that is not drawn",
			file: "health/job.go",
			text: "package health\n\nimport (\n\t\"fmt\"\n\t\"berth.dev/berth/reconciler/plan\"\n)\n",
			want: []string{"health/job.go:5: health must not know reconciler/plan"},
		},
		{
			name: "an arrow that is",
			file: "reconciler/plan/make.go",
			text: "package plan\n\nimport \"berth.dev/berth/health\"\n",
		},
		{
			name: "a package without a rule",
			file: "reconciler/util/strings.go",
			text: "// Package util is a bag.\npackage util\n",
			want: []string{`reconciler/util/strings.go:2: package "reconciler/util" has no rule: say in imports_test.go what it may know`},
		},
		{
			name: "code that knows what only tests may",
			file: "source/fetch.go",
			text: "package source\n\nimport \"berth.dev/berth/internal/gittest\"\n",
			want: []string{"source/fetch.go:3: source must not know internal/gittest"},
		},
		{
			name: "a test that knows it, and its own package",
			file: "source/fetch_test.go",
			text: "package source_test\n\nimport (\n\t\"berth.dev/berth/internal/gittest\"\n\t\"berth.dev/berth/source\"\n)\n",
		},
		{
			name: "a test beyond the arrows of its package",
			file: "health/job_test.go",
			text: "package health\n\nimport \"berth.dev/berth/source\"\n",
			want: []string{"health/job_test.go:3: health must not know source"},
		},
		{
			name: "a library beyond its fence",
			file: "reconciler/render/tree.go",
			text: "package render\n\nimport git \"github.com/go-git/go-git/v5\"\n",
			want: []string{"reconciler/render/tree.go:3: reconciler/render must not use github.com/go-git/go-git/v5: how Git is read is source's matter"},
		},
		{
			name: "a library within its fence, by the exception for a test",
			file: "deploy/deploy_test.go",
			text: "package deploy_test\n\nimport \"sigs.k8s.io/kustomize/api/krusty\"\n",
		},
		{
			name: "the same without the exception",
			file: "deploy/deploy.go",
			text: "package deploy\n\nimport \"sigs.k8s.io/kustomize/api/krusty\"\n",
			want: []string{"deploy/deploy.go:3: deploy must not use sigs.k8s.io/kustomize/api/krusty: how manifests are built is the matter of these two"},
		},
		{
			name: "the environment, under another name",
			file: "secrets/keys.go",
			text: "package secrets\n\nimport system \"os\"\n\nvar key = system.Getenv(\"KEY\")\n",
			want: []string{"secrets/keys.go:5: secrets must not use os.Getenv: a library is configured by what it is given"},
		},
		{
			name: "a clock in the plan",
			file: "reconciler/plan/gate.go",
			text: "package plan\n\nimport \"time\"\n\nfunc late(by time.Duration, at time.Time) bool {\n\treturn time.Since(at) > by\n}\n",
			want: []string{"reconciler/plan/gate.go:6: reconciler/plan must not use time.Since: what is decided follows from the input alone"},
		},
		{
			name: "a client in what the plan compares",
			file: "reconciler/observed/observed.go",
			text: "package observed\n\nimport \"k8s.io/client-go/dynamic\"\n",
			want: []string{"reconciler/observed/observed.go:3: reconciler/observed must not use k8s.io/client-go/dynamic: the others judge what these bring and decide what these do"},
		},
		{
			name: "a clock in the watches",
			file: "reconciler/live/feed.go",
			text: "package live\n\nimport \"time\"\n\nvar began = time.Now()\n",
			want: []string{"reconciler/live/feed.go:5: reconciler/live must not use time.Now: clock and randomness come with its Config"},
		},
		{
			name: "a context in the plan",
			file: "reconciler/plan/make.go",
			text: "package plan\n\nimport \"context\"\n",
			want: []string{"reconciler/plan/make.go:3: reconciler/plan must not use context: what is decided follows from the input alone"},
		},
		{
			name: "a file that is not built here",
			file: "source/path_windows.go",
			text: "//go:build windows\n\npackage source\n\nimport \"flag\"\n",
			want: []string{"source/path_windows.go:5: source must not use flag: a library is configured by what it is given"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := violations(t, fstest.MapFS{test.file: {Data: []byte(test.text)}})
			if !slices.Equal(found, test.want) {
				t.Errorf("found %q, want %q", found, test.want)
			}
		})
	}
}

// A module inside this one, such as e2e, has rules of its own.
func TestImportsLeavesOtherModulesAlone(t *testing.T) {
	found := violations(t, fstest.MapFS{
		"e2e/go.mod":      {Data: []byte("module berth.dev/berth/e2e\n")},
		"e2e/git/main.go": {Data: []byte("package main\n\nimport \"flag\"\n")},
	})
	if len(found) > 0 {
		t.Errorf("found %q, want nothing", found)
	}
}
