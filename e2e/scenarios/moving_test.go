package scenarios

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

// pair returns a team with two entries for main in one existing namespace.
func pair(t *testing.T, name string) (team *team, back, front *world.Environment) {
	t.Helper()
	team = prepares(t, name)
	other{t, "kubectl-create", ""}.creates("namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: "+name+"}}")
	team.pushes("main", map[string]string{
		"k8s/api.yaml": configMap("api", "A: b"), "k8s/web.yaml": deployment("web", ""), "front/page.yaml": configMap("page", "A: b"),
		"app/main.go": "package main\n",
	})
	team.followed(func(r *v1alpha1.Repository) {
		review := &r.Spec.Environments[1]
		review.Name, review.Branches, review.Path, review.Namespace = "frontend", []v1alpha1.BranchPattern{"main"}, "front", name
		review.Variables, review.Link = r.Spec.Environments[0].Variables, ""
	})
	return team, team.entry("production"), team.entry("frontend")
}

// soon is long on a loaded machine, and shorter than the minute after which the agent looks again on its own.
const soon = 50 * time.Second

// entry returns main's environment of one entry.
func (team *team) entry(name string) *world.Environment { return team.EnvironmentOf(name, "main") }

// Otherwise a workload that moves to another folder would be deleted, and created minutes later.
func TestAnObjectMovesBetweenEnvironmentsWithoutBeingDeleted(t *testing.T) {
	t.Parallel()
	posts, back, front := pair(t, "moves")
	head := posts.git.Head("main")
	back.Becomes("Healthy", head)
	front.Becomes("Healthy", head)
	web := back.Object("Deployment/web")

	for range 3 {
		commit := posts.moves("k8s/web.yaml", "front/web.yaml", deployment("web", ""))
		front.Becomes("Healthy", commit)
		back.Becomes("Healthy", commit)
		if label := back.Object("Deployment/web").GetLabels()["berth.dev/environment"]; label != front.Object("ConfigMap/page").GetLabels()["berth.dev/environment"] {
			t.Errorf("it belongs to %s", label)
		}
		commit = posts.moves("front/web.yaml", "k8s/web.yaml", deployment("web", ""))
		back.Becomes("Healthy", commit)
		front.Becomes("Healthy", commit)
	}
	if now := back.Object("Deployment/web"); now.GetUID() != web.GetUID() || now.Field("spec.template") != web.Field("spec.template") {
		t.Error("it was deleted and created again, or rolled out")
	}
}

// An environment that claims another's object is refused, and reconciled as soon as the other releases the object.
func TestWhoIsRefusedIsLookedAtAgainWhenTheOtherLetsGo(t *testing.T) {
	t.Parallel()
	posts, back, front := pair(t, "lets")
	head := posts.git.Head("main")
	back.Becomes("Healthy", head)
	front.Becomes("Healthy", head)
	web := back.Object("Deployment/web")

	commit := posts.pushes("main", map[string]string{"front/web.yaml": deployment("web", "")})
	front.Becomes("Failed", commit, "Deployment/web", "belongs to another environment")
	commit = posts.removes("main", "k8s/web.yaml")
	front.BecomesWithin(soon, "Healthy", commit)
	back.Becomes("Healthy", commit)
	if back.Object("Deployment/web").GetUID() != web.GetUID() {
		t.Error("it was deleted and created again")
	}
}

// The same holds if the owner is not Berth, and the object is not watched.
func TestWhoIsRefusedIsLookedAtAgainWhenTheObstacleGoes(t *testing.T) {
	t.Parallel()
	posts := begins(t, "hindered")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	helm := other{t, "kubectl-create", production.Namespace()}
	helm.creates("configmaps", "{apiVersion: v1, kind: ConfigMap, metadata: {name: helms, annotations: {meta.helm.sh/release-name: posts, meta.helm.sh/release-namespace: hindered}}, data: {A: helm}}")
	helm.creates("configmaps", `{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, labels: {berth.dev/environment: gone0000.aaaaaaaa},
		annotations: {berth.dev/environment: other.production.main, berth.dev/digest: "1:abc.def", berth.dev/prune: never}}, data: {A: other}}`)

	commit := posts.pushes("main", map[string]string{"k8s/helms.yaml": configMap("helms", "A: git")})
	production.Becomes("Failed", commit, "belongs to Helm")
	helm.patches("configmaps", "helms", `{"metadata":{"annotations":{"meta.helm.sh/release-name":null,"meta.helm.sh/release-namespace":null}}}`)
	production.BecomesWithin(soon, "Healthy", commit)

	commit = posts.pushes("main", map[string]string{"k8s/kept.yaml": configMap("kept", "A: git")})
	production.Becomes("Failed", commit, "belongs to")
	helm.patches("configmaps", "kept", `{"metadata":{"labels":{"berth.dev/environment":null}}}`)
	production.BecomesWithin(soon, "Healthy", commit)

	helm.creates("configmaps", "{apiVersion: v1, kind: ConfigMap, metadata: {name: argos, annotations: {argocd.argoproj.io/tracking-id: 'posts:/ConfigMap:hindered/argos'}}}")
	commit = posts.pushes("main", map[string]string{"k8s/argos.yaml": configMap("argos", "A: git")})
	production.Becomes("Failed", commit, "belongs to Argo CD")
	helm.deletes("configmaps", "argos")
	production.BecomesWithin(soon, "Healthy", commit)
}

// When the default branch is renamed, the new branch's environment takes over the objects and the namespace of the old
// one, without a restart.
func TestAnEntryFollowsARenamedBranch(t *testing.T) {
	t.Parallel()
	posts := begins(t, "follows")
	follow(t, posts, func() {
		posts.Patch(`{"spec":{"suspend":true}}`) // Git renames the branch before it makes the new name the default
		posts.Becomes("Suspended")
		posts.git.Rename("main", "trunk")
		posts.Patch(`{"spec":{"suspend":false}}`)
		posts.Becomes("Invalid", "the default branch trunk gets no environment", "write trunk in place of the old name in all entries")
	})
}

// GitLab and GitHub let a team push the new branch first. Then it has a preview before it becomes the default branch.
func TestAnEntryFollowsABranchThatHasAPreview(t *testing.T) {
	t.Parallel()
	posts := begins(t, "precedes")
	follow(t, posts, func() {
		posts.git.Branch("trunk", "main")
		preview := posts.Environment("trunk")
		preview.Becomes("Healthy", posts.git.Head("trunk"))
		posts.git.SetDefault("trunk")
		posts.git.Delete("main")
		posts.Becomes("Invalid", "the default branch trunk keeps its environment precedes.review.trunk", "write trunk in place of the old name in all entries")
	})
}

// follow renames main to trunk, and writes the new name into the entries.
func follow(t *testing.T, posts *team, rename func()) {
	t.Helper()
	production := posts.Environment("main")
	head := posts.pushes("main", with(application(), "k8s/migrate.yaml", job("migrate", "")))
	production.Becomes("Healthy", head)
	api, migrate := production.Object("Deployment/api"), production.Object("Job/migrate")

	rename()
	entries := posts.Get().Spec.Environments
	entries[0].Branches, entries[1].Branches = []v1alpha1.BranchPattern{"trunk"}, []v1alpha1.BranchPattern{"**", "!trunk"}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"environments": entries}})
	if err != nil {
		t.Fatal(err)
	}
	posts.Patch(string(patch))
	trunk := posts.EnvironmentOf("production", "trunk")
	trunk.Becomes("Healthy", head)
	if now := trunk.Object("Deployment/api"); now.GetUID() != api.GetUID() || now.Field("spec.template") != api.Field("spec.template") {
		t.Error("the Deployment was re-created, or rolled out")
	}
	if trunk.Object("Job/migrate").GetUID() != migrate.GetUID() {
		t.Error("the migration ran again")
	}
	trunk.Becomes("Healthy", posts.pushes("trunk", code("newer")))
	world.Await(t, "only production is left", func() (string, bool) {
		all := posts.Environments()
		return fmt.Sprintf("%d environments", len(all)), len(all) == 1
	})
}
