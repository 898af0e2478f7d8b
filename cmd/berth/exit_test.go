package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	const (
		complete = `{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}`
		failed   = `{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}`
	)
	for _, test := range []struct {
		name string
		args []string
		in   string
		want int
	}{
		{"fine", []string{"version"}, "", 0},
		{"help", []string{"get", "--help"}, "", 0},
		{"healthy", []string{"health", "-f", "-"}, complete, 0},
		{"not healthy", []string{"health", "-f", "-"}, failed, exitDifferent},
		{"no such command", []string{"gte"}, "", exitUsage},
		{"no such flag", []string{"get", "--al"}, "", exitUsage},
		{"too many arguments", []string{"version", "now"}, "", exitUsage},
		{"too few arguments", []string{"slug"}, "", exitUsage},
		{"no such format", []string{"render", "--path", ".", "--branch", "b", "-o", "x"}, "", exitUsage},
		{"no such file", []string{"health", "-f", "absent"}, "", exitFailed},
		{"nothing to render", []string{"render", "--path", "testdata", "--branch", "b"}, "", exitFailed},
		{"no cluster", []string{"get", "--kubeconfig", "absent"}, "", exitFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			var text bytes.Buffer
			got := run(t.Context(), test.args, streams{in: strings.NewReader(test.in), out: &text, err: &text})
			if got != test.want {
				t.Errorf("berth %q ends with %d, want %d:\n%s", test.args, got, test.want, &text)
			}
		})
	}
}
