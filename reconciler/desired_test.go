package reconciler

import (
	"fmt"
	"strings"
	"testing"

	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/source"
)

// The limits of a Repository are what bounds a render, above the defaults as well as below.
func TestLimitsOfTheRepository(t *testing.T) {
	git := gittest.NewServer(t).Repository("posts")
	many := make([]gittest.Change, 0, 10_002)
	for i := range 10_001 {
		many = append(many, gittest.Write(fmt.Sprintf("k8s/more/%d.txt", i), "x"))
	}
	comment := "# " + strings.Repeat("x", 1023) + "\n"
	many = append(many, gittest.Write("k8s/large.yaml", configMap("large", "one")+strings.Repeat(comment, 11<<10)))
	commit := git.Change("main", "a large folder", many...)
	for _, test := range []struct {
		reason string
		limits source.Limits
		want   string // of the error
	}{
		{"raised", source.Limits{Files: 20_000, FileBytes: 12 << 20}, ""},
		{"fewer files", source.Limits{FileBytes: 12 << 20}, "raise limits.files"},
		{"smaller files", source.Limits{Files: 20_000}, "raise limits.fileBytes"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			store := must(source.Open(source.Config{Dir: t.TempDir(), URL: git.URL(), Limits: test.limits}))
			defer store.Close()
			r := New(Config{Snapshots: storeOf(store)})
			d, err := r.desire(t.Context(), Environment{Path: "k8s", Namespace: "posts", Variables: noVariables}, commit, desired{})
			if test.want == "" && (err != nil || d.set.Len() != 1) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %d objects and %v, want %q", d.set.Len(), err, test.want)
			}
		})
	}
}
