package branches

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
)

// moves lets entries name a cluster after their Environments were made; "" is the agent's own.
func moves(cluster string, names ...string) func(*scene) {
	return entries(func(r *v1alpha1.Repository) {
		for i := range r.Spec.Environments {
			if entry := &r.Spec.Environments[i]; slices.Contains(names, entry.Name) {
				entry.Cluster = nil
				if cluster != "" {
					entry.Cluster = &v1alpha1.ClusterReference{SecretRef: v1alpha1.SecretReference{Name: cluster}}
				}
			}
		}
	})
}

// madeIn says that all Environments are in a cluster.
func madeIn(cluster string) func(*scene) {
	return func(s *scene) {
		for i := range s.have {
			s.have[i].Spec.Cluster = cluster
		}
	}
}

func TestAnEntryThatChangesItsCluster(t *testing.T) {
	confirmed := func(s *scene) { s.have[0].Annotations = map[string]string{v1alpha1.AnnotationConfirmed: "1"} }
	for _, test := range []struct {
		name   string
		scene  scene
		gone   []string // branches
		held   []string
		writes map[string]string // the clusters, by branch
		says   string
	}{
		{name: "nothing changed", scene: listed(1, moves("staging", "production", "review"), madeIn("staging")), writes: map[string]string{"main": "staging", "f0": "staging"}},
		{name: "previews are made again there", scene: listed(1, moves("staging", "review")), gone: []string{"f0"}, writes: map[string]string{"main": ""}},
		{name: "and back", scene: listed(1, madeIn("staging"), moves("staging", "production")), gone: []string{"f0"}, writes: map[string]string{"main": "staging"}},
		{
			name: "branches by name wait, and stay where they are", scene: listed(1, moves("staging", "production")),
			held: []string{"posts.production.main"}, writes: map[string]string{"main": "", "f0": ""},
			says: "entry production: its entry belongs to the cluster staging now, and its objects are in the namespace posts of the agent's own cluster, where they stay as they are; move their data, then let it begin in the namespace posts there: berth confirm posts.production.main",
		},
		{name: "until a user confirms it", scene: listed(1, moves("staging", "production"), confirmed), gone: []string{"main"}, writes: map[string]string{"f0": ""}},
		{
			name: "for the whole Repository", gone: []string{"main"}, writes: map[string]string{"f0": ""},
			scene: listed(1, moves("staging", "production"), func(s *scene) { s.Confirmed = map[string]bool{"posts.production.main": true} }),
		},
		{name: "a confirmation moves nothing else", scene: listed(1, confirmed), writes: map[string]string{"main": "", "f0": ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := test.scene.compareAs("")
			var gone []string
			for _, d := range c.Delete {
				gone = append(gone, d.Environment.Spec.Branch)
			}
			writes := map[string]string{}
			for _, w := range c.Write {
				writes[w.Spec.Branch] = w.Spec.Cluster
			}
			if !slices.Equal(gone, test.gone) || !slices.Equal(c.Held, test.held) {
				t.Errorf("%v go, and %v wait", gone, c.Held)
			}
			if len(writes) != len(test.writes) {
				t.Errorf("written are %v", writes)
			}
			for branch, cluster := range test.writes {
				if got, written := writes[branch]; !written || got != cluster {
					t.Errorf("%s is written in %q: %t", branch, got, written)
				}
			}
			if all := strings.Join(c.Doubts, "\n"); all != test.says {
				t.Errorf("it says %q", all)
			}
		})
	}
}

// The same namespace in two clusters is two places: neither takes that of the other, nor its Environments.
func TestPlacesIncludeTheCluster(t *testing.T) {
	repo := apitest.Repository(func(r *v1alpha1.Repository) {
		far := r.Spec.Environments[1]
		far.Name, far.Cluster = "far", &v1alpha1.ClusterReference{SecretRef: v1alpha1.SecretReference{Name: "staging"}}
		r.Spec.Environments[0].Namespace = "posts-f0"
		r.Spec.Environments = append(r.Spec.Environments, far)
	})
	interest := NewInterest(repo, nil)
	if interest.Keep("f0") {
		t.Error("a preview may get production's namespace")
	}
	repo.Spec.Environments = slices.Delete(repo.Spec.Environments, 1, 2)
	if interest = NewInterest(repo, nil); !interest.Keep("f0") {
		t.Error("a preview in another cluster may not have a namespace of production's name")
	}

	orphan := apitest.Environment(apitest.Repository(), "review", "f0")
	c := Compare([]v1alpha1.Environment{orphan}, Want(repo, map[string]string{"f0": apitest.Commit("a")}), listed(0).Evidence)
	if len(c.Delete) != 1 || len(c.Write) != 1 || c.Write[0].Name != "posts.far.f0" {
		t.Errorf("an entry in another cluster takes over: %d go, written are %v", len(c.Delete), c.Write)
	}
}

// A namespace shows its environment, and not its cluster: that is where it was found.
func TestALostEnvironmentIsRestoredInItsCluster(t *testing.T) {
	repo := apitest.Repository(func(r *v1alpha1.Repository) {
		r.Spec.Environments[1].Cluster = &v1alpha1.ClusterReference{SecretRef: v1alpha1.SecretReference{Name: "staging"}}
	})
	env := apitest.Environment(repo, "review", "f0")
	ns := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: env.Spec.Namespace, Labels: map[string]string{LabelEnvironment: ID(env.Spec, "mine")},
		Annotations: map[string]string{AnnotationEnvironment: env.Name, AnnotationBranch: "f0", AnnotationOnRemoval: string(v1alpha1.RemovalDelete)},
	}}
	for cluster, calledFor := range map[string]bool{"staging": true, "other": false, "": false} {
		list := Lost("posts", "mine", Remainders{Cluster: cluster, Namespaces: []*metav1.PartialObjectMetadata{ns}}, nil)
		if len(list) != 1 || list[0].Spec.Cluster != cluster || list[0].CalledFor(repo) != calledFor {
			t.Errorf("in %q: %+v", cluster, list)
		}
	}
}
