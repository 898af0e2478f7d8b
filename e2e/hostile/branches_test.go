package hostile

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

// leavesOut waits until the Repository lists the branches that it leaves out, with all of the texts.
func (team *team) leavesOut(texts ...string) {
	team.t.Helper()
	world.Await(team.t, fmt.Sprintf("the Repository %s leaves branches out, and says %q", team.Name, texts), func() (string, bool) {
		left := meta.FindStatusCondition(team.Get().Status.Conditions, v1alpha1.ConditionBranchesLeftOut)
		if left == nil {
			return "no condition", false
		}
		for _, text := range texts {
			if !strings.Contains(left.Message, text) {
				return left.Message, false
			}
		}
		return left.Message, left.Status == metav1.ConditionTrue
	})
}

// refs creates the given number of branches at main.
func (team *team) refs(n int, format string) {
	team.t.Helper()
	refs := map[string]string{}
	for i := range n {
		refs[fmt.Sprintf("refs/heads/"+format, i)] = team.healthy
	}
	team.git.Refs(refs)
}

// goesOn pushes to production and waits until the commit is healthy.
func (team *team) goesOn() {
	team.t.Helper()
	files := application()
	files["k8s/more.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n"
	commit := team.git.Commit("main", files, "go on")
	team.production.Becomes("Healthy", commit)
}

// A name that reorders the text around it, or looks like another name, is shown escaped and gets no environment.
func TestNamesThatDeceive(t *testing.T) {
	t.Parallel()
	posts := begins(t, "names")
	for _, name := range []string{"gnp\u202efdp", "main\u200b", "ma\u2066in", "a\u00a0b"} {
		posts.git.Branch(name, posts.healthy)
	}
	posts.leavesOut("4 branches left out because of the name", `"gnp\u202efdp" has the invisible character U+202E`, `"main\u200b" has the invisible character U+200B`, "and 1 more")
	if all := posts.Environments(); len(all) != 1 {
		t.Errorf("there are %d environments", len(all))
	}
	posts.felt()
	posts.goesOn()
}

// A branch has the same name as the unique slug of another branch.
func TestABranchNamedLikeAnothersSlug(t *testing.T) {
	t.Parallel()
	posts := begins(t, "slugs")
	first := posts.pushes("Feature/Login", nil)
	first.isHealthy()
	slug := strings.TrimPrefix(first.Namespace(), "slugs-")
	before := first.Contents()
	evil := posts.pushes(slug, map[string]string{"k8s/evil.yaml": configMap("evil")})
	evil.isHealthy()
	if evil.Namespace() == first.Namespace() {
		t.Errorf("%s and %s share the namespace %s", first.Branch, evil.Branch, evil.Namespace())
	}
	first.isHealthy()
	if changed := before.Changed(first.Contents()); len(changed) > 0 {
		t.Errorf("the first branch felt it: %q", changed)
	}
	posts.felt()
}

// More branches than the administrator allows do not affect the other branches, and production continues.
func TestBranchesWithoutEnd(t *testing.T) {
	t.Parallel()
	five := int32(5)
	posts := begins(t, "endless", func(r *v1alpha1.Repository) {
		r.Spec.Limits.Branches, r.Spec.Limits.Environments = 12_000, 100
		r.Spec.Environments[1].Limit = &five
	})
	posts.refs(10_000, "a-%d")
	posts.leavesOut("9900 branches left out: limits.environments is 100")
	posts.felt()
	posts.goesOn()

	posts.refs(3_000, "main-%d") // the same prefix as production's branch
	posts.Becomes(v1alpha1.ReasonTooLarge, "the repository has more than 12000 branches")
	commit := posts.git.Commit("main", application(), "and on")
	posts.production.Becomes("Healthy", commit)
}

// A few kilobytes unpack to more than the agent's memory.
func TestACommitThatUnpacksToGigabytes(t *testing.T) {
	t.Parallel()
	posts := begins(t, "bomb")
	bomb := posts.pushes("bomb", map[string]string{"zeros": strings.Repeat("\x00", 101<<20)})
	bomb.isRefused("the commit holds a file of 105906176 bytes, and more than 100 MiB cannot be unpacked")
	posts.felt()
	posts.goesOn()
}
