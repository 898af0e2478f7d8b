package plan_test

import (
	"strings"
	"testing"
)

// spec is one case of the specification: what happened, and the plan that follows.
type spec struct {
	name  string
	story func(w *world)
	want  string
}

func check(t *testing.T, specs []spec) {
	t.Helper()
	for _, s := range specs {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t)
			s.story(w)
			if got, want := w.plan().String(), lines(s.want); got != want {
				t.Errorf("the plan is\n%s\n\nand should be\n%s", got, want)
			}
		})
	}
}

// lines removes the indentation from a text.
func lines(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return strings.Join(all, "\n")
}
