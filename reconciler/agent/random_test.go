package agent

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/naming"
)

// TestBranchesAtRandom creates, changes and deletes branches faster than the agent follows, and restarts the agent
// in between. It then checks that exactly the expected environments exist.
func TestBranchesAtRandom(t *testing.T) {
	w := newWorld(t)
	w.follow(func(r *v1alpha1.Repository) { r.Spec.GoneAfter.Duration = 100 * time.Millisecond })
	w.healthy("main")
	random := rand.New(rand.NewPCG(1, 2))
	says := map[string]string{}
	for i := range 120 {
		name := fmt.Sprintf("feature/%c", 'a'+rune(random.IntN(20)))
		switch _, there := says[name]; {
		case there && random.IntN(3) == 0:
			w.code.Delete(name)
			delete(says, name)
		default:
			says[name] = fmt.Sprint("text-", i)
			w.branches(says[name], name)
		}
		if random.IntN(3) == 0 {
			w.poll()
		}
		if i%50 == 49 {
			w.restart()
		}
	}
	w.poll()
	w.pass(time.Second)
	w.poll()
	w.confirm() // in case many were deleted at once
	names := slices.Sorted(maps.Keys(says))
	w.healthy(append(names, "main")...)
	w.eventually("there is exactly what there should be", func() bool {
		return slices.Equal(w.spaces(), w.expected(names)) && len(w.environments()) == len(names)+1
	})
	for branch, text := range says {
		if got := w.says(branch); got != text {
			t.Errorf("%s runs %q, want %q", branch, got, text)
		}
	}
}

// spaces returns the names of all namespaces that belong to this installation.
func (w *world) spaces() []string {
	w.t.Helper()
	var list corev1.NamespaceList
	if err := w.client.List(w.t.Context(), &list, client.HasLabels{manifest.LabelEnvironment}); err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for i := range list.Items {
		if _, spec, ours := branches.OwnerOf(&metav1.PartialObjectMetadata{ObjectMeta: list.Items[i].ObjectMeta}, w.installation); ours {
			names = append(names, spec.Namespace)
		}
	}
	slices.Sort(names)
	return names
}

func (w *world) expected(branches []string) []string {
	names := []string{w.namespace + "-prod"}
	for _, branch := range branches {
		names = append(names, w.namespace+"-"+naming.Slug(branch))
	}
	slices.Sort(names)
	return names
}
