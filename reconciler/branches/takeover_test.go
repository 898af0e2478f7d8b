package branches

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
)

// An attacker who can push branches can search for one with the slug of another.
func TestTwoBranchesOfOneSlugNeverShareAnEnvironment(t *testing.T) {
	repo := apitest.Repository()
	entry := &repo.Spec.Environments[1]
	branch := func(name string) Wanted {
		return Wanted{Name: "posts.review.login-aaaaaa", entry: entry, Spec: v1alpha1.EnvironmentSpec{
			Repository: "posts", Entry: "review", Branch: name, Namespace: "posts-login-aaaaaa",
		}}
	}
	d := demand{List: []Wanted{branch("login..x"), branch("login")}, entries: map[string]bool{"review": true}}
	claims, notes := claim(nil, d)
	if len(claims) != 1 || claims[0].Spec.Branch != "login..x" || len(notes) != 1 || !strings.Contains(notes[0], "the branch login gets no environment") {
		t.Errorf("of two new ones, %v claim, with the notes %q", claims, notes)
	}
	// The one that has it keeps it, whatever the order.
	env := v1alpha1.Environment{Spec: branch("login").Spec}
	env.Name = "posts.review.login-aaaaaa"
	claims, notes = claim(map[string]*v1alpha1.Environment{env.Name: &env}, d)
	if len(claims) != 1 || claims[0].Spec.Branch != "login" || len(notes) != 1 || !strings.Contains(notes[0], "the branch login..x gets no environment") {
		t.Errorf("beside the first, %v claim, with the notes %q", claims, notes)
	}
}

func TestOfSeveralRemovedEntriesTheOneWithTheFirstNameIsTakenOver(t *testing.T) {
	at := v1alpha1.EnvironmentSpec{Entry: "gone", Branch: "f0", Namespace: "posts-f0"}
	named := map[string]*v1alpha1.Environment{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		named[name] = &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: at}
	}
	for range 10 { // a map has no order
		if got := orphaned(named, demand{})[locationOf(at)]; got.Name != "a" {
			t.Fatalf("%s is taken over", got.Name)
		}
	}
}

// Otherwise a branch pushed before production's first sync would get its namespace.
func TestNoNewBranchGetsTheNamespaceOfALiteralEntry(t *testing.T) {
	repo := apitest.Repository(func(r *v1alpha1.Repository) { r.Spec.Environments[0].Namespace = "posts-prod" })
	i := NewInterest(repo, nil)
	if !i.Keep("main") || !i.Keep("product") || i.Keep("prod") {
		t.Error("it keeps others than main and product")
	}
	if c := i.Condition(repo); c == nil || !strings.Contains(c.Message, `"prod" leads to the namespace posts-prod, which belongs to the entry production`) {
		t.Errorf("it says %v", c)
	}
	// One that runs there already is left alone: an entry that comes later must not delete it.
	if i := NewInterest(repo, []v1alpha1.Environment{apitest.Environment(apitest.Repository(), "review", "prod")}); !i.Keep("prod") {
		t.Error("the one that runs is left out")
	}
	// An entry's own branch is never left out, whatever the patterns of others say.
	named := apitest.Repository(func(r *v1alpha1.Repository) {
		r.Spec.Environments[0].Namespace, r.Spec.Environments[0].Branches = "posts-prod", []v1alpha1.BranchPattern{"prod"}
	})
	if i := NewInterest(named, nil); !i.Keep("prod") {
		t.Error("production's own branch is left out")
	}
}
