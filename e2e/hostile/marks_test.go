package hostile

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

// Only the agent's own marks say who owns an object, and no template can change them.
func TestMarksFromGit(t *testing.T) {
	t.Parallel()
	object := func(metadata string) map[string]string {
		return map[string]string{"k8s/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  " + metadata + "\n"}
	}
	attempts(t, "marks", []attempt{
		{"label", object("labels: {berth.dev/environment: x}"),
			[]string{"k8s/x.yaml:5: ConfigMap/x: metadata.labels has berth.dev/environment, which Berth itself sets"}},
		{"digest", object("annotations: {berth.dev/digest: x}"),
			[]string{"k8s/x.yaml:5: ConfigMap/x: metadata.annotations has berth.dev/digest, which Berth itself sets"}},
		{"name of another environment", object("annotations: {berth.dev/environment: marks.production.main}"),
			[]string{"k8s/x.yaml:5: ConfigMap/x: metadata.annotations has berth.dev/environment, which Berth itself sets"}},
		{"removal", object("annotations: {berth.dev/on-removal: Delete}"),
			[]string{"k8s/x.yaml:5: ConfigMap/x: there is no annotation berth.dev/on-removal"}},
		{"pod template", map[string]string{"k8s/x.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: x}
spec:
  selector: {matchLabels: {app: x}}
  template:
    metadata:
      labels: {app: x, berth.dev/environment: y}
    spec: {containers: [{name: x, image: x}]}
`}, []string{"k8s/x.yaml:8: Deployment/x: spec.template.metadata.labels has berth.dev/environment, which Berth itself sets"}},
		{"template of volumes", map[string]string{"k8s/x.yaml": `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: x}
spec:
  serviceName: x
  selector: {matchLabels: {app: x}}
  template: {metadata: {labels: {app: x}}, spec: {containers: [{name: x, image: x}]}}
  volumeClaimTemplates:
  - metadata:
      name: data
      labels: {berth.dev/environment: y}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`}, []string{"k8s/x.yaml:11: StatefulSet/x: spec.volumeClaimTemplates.0.metadata.labels has berth.dev/environment"}},
		{"template of jobs", map[string]string{"k8s/x.yaml": `apiVersion: batch/v1
kind: CronJob
metadata: {name: x}
spec:
  schedule: "@daily"
  jobTemplate:
    metadata: {annotations: {berth.dev/digest: y}}
    spec: {template: {spec: {restartPolicy: Never, containers: [{name: x, image: x}]}}}
`}, []string{"k8s/x.yaml:7: CronJob/x: spec.jobTemplate.metadata.annotations has berth.dev/digest"}},
		{"labels of a kustomization", map[string]string{
			"k8s/kustomization.yaml": "resources: [app.yaml]\nlabels:\n- {includeTemplates: true, pairs: {berth.dev/environment: x}}\n",
		}, []string{"metadata.labels has berth.dev/environment, which Berth itself sets"}},
		{"namespace of production", map[string]string{"k8s/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: marks}\n"},
			[]string{`k8s/x.yaml:1: ConfigMap/settings: it names the namespace "marks"`, "write ${NAMESPACE}"}},
		{"namespace of its own", map[string]string{"k8s/x.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: marks}\n"},
			[]string{"k8s/x.yaml:1: Namespace/marks: it is cluster-scoped"}},
	})
}

// A branch whose namespace name would be production's gets no environment, even if it exists before production.
func TestABranchNamedLikeProductionsNamespace(t *testing.T) {
	t.Parallel()
	posts := begins(t, "squats", func(r *v1alpha1.Repository) { r.Spec.Environments[0].Namespace = "squats-prod" })
	evil := posts.pushes("prod", nil)
	world.Await(t, "the branch is left out", func() (string, bool) {
		c := meta.FindStatusCondition(posts.Get().Status.Conditions, v1alpha1.ConditionBranchesLeftOut)
		return fmt.Sprint(c), c != nil && strings.Contains(c.Message, `"prod" leads to the namespace squats-prod, which belongs to the entry production`)
	})
	if _, there := evil.Get(); there {
		t.Error("it has an environment")
	}
	posts.felt()
}

// Copied Secrets overwrite nothing: a Secret of a branch or a user stays.
func TestCopiedSecretsOverwriteNothing(t *testing.T) {
	t.Parallel()
	shared.SetSecret(lasting{t}, "pull", map[string]string{"password": "of the team"})
	posts := begins(t, "pulls", func(r *v1alpha1.Repository) {
		r.Spec.Environments[1].CopySecrets = []v1alpha1.SecretReference{{Name: "pull"}}
	})
	plain := posts.pushes("plain", nil)
	plain.isHealthy()
	if got := plain.Object("Secret/pull").Field("data.password"); got != "b2YgdGhlIHRlYW0=" {
		t.Errorf("the copy says %q", got)
	}
	own := posts.pushes("own", map[string]string{"k8s/pull.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: pull}\nstringData: {password: mine}\n"})
	own.isHealthy()
	if got := own.Object("Secret/pull").Field("data.password"); got != "bWluZQ==" {
		t.Errorf("the branch's own says %q", got)
	}
	// The label alone does not mark a Secret as Berth's: a Secret of another name that claims to be a copy is not
	// deleted.
	posts.restores(secrets, plain.Object("Secret/pull").Unstructured, plain.Namespace(), "pull-2")
	commit := posts.git.Commit("plain", map[string]string{"k8s/more.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: more}}"}, "more")
	plain.Becomes("Healthy", commit, "Secret/"+plain.Namespace()+"/pull-2: has this environment's label but was not made by Berth")
	plain.AwaitObject("Secret/pull-2", "stays", func(o world.Object) bool { return o.GetDeletionTimestamp() == nil })
	posts.felt()
}
