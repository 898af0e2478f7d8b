package reconciler

import (
	"fmt"
	"testing"

	"berth.dev/berth/reconciler/plan"
)

// TestAConfirmationCountsOnce leaves a confirmation in place. It allows the deletions that it was given for, and no
// others.
func TestAConfirmationCountsOnce(t *testing.T) {
	w := newWorld(t)
	files := []string{"a.yaml", configMap("a", "one")}
	for i := range 7 {
		files = append(files, fmt.Sprintf("part-%d.yaml", i), configMap(fmt.Sprintf("part-%d", i), "one"))
	}
	var gone []string
	for i := 2; i < len(files); i += 2 {
		gone = append(gone, files[i], "")
	}
	w.commits(files...)
	w.env.Confirmation = "too early"
	w.becomes(plan.Settled)
	for _, confirmation := range []string{"the first", "the second"} {
		w.commits(gone...)
		w.becomes(plan.Waiting, "7 of 8 objects would be deleted at once")
		w.restarts()
		w.env.Confirmation = confirmation
		if o := w.becomes(plan.Settled); found(o).Confirmation != confirmation || w.look("ConfigMap/part-0") != nil {
			t.Errorf("it is not confirmed by %q: %+v", confirmation, o)
		}
		w.commits(files...)
		w.becomes(plan.Settled)
	}
}

// TestManifestsFromElsewhere is about an entry whose path was changed to a folder with fewer manifests.
func TestManifestsFromElsewhere(t *testing.T) {
	w := newWorld(t)
	w.commits("k8s/a.yaml", configMap("a", "one"), "k8s/b.yaml", configMap("b", "one"), "deploy/a.yaml", configMap("a", "two"))
	w.env.URL, w.env.Path, w.env.Settings = "https://git.example.com/posts.git", "k8s", "{path: k8s}"
	w.becomes(plan.Settled)
	w.env.Path, w.env.Settings = "deploy", "{path: deploy}"
	w.becomes(plan.Waiting, "read from deploy of https://git.example.com/posts.git now, and were from k8s of https://git.example.com/posts.git: 1 of 2 objects would be deleted")
	if w.value("a", "v") != "two" || w.look("ConfigMap/b") == nil {
		t.Error("what the folder says is not applied, or what it does not say is gone")
	}
	w.env.Confirmation = "yes"
	w.becomes(plan.Settled)
	if w.look("ConfigMap/b") != nil {
		t.Error("what was confirmed is not gone")
	}
}
