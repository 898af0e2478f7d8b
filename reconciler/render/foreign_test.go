package render_test

import (
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/manifest"
)

// Every mark of another tool is carried out, causes a warning, or leaves its object out.
func TestMarksOfOtherTools(t *testing.T) {
	const job, config, pod, deployment = "batch/v1 Job", "v1 ConfigMap", "v1 Pod", "apps/v1 Deployment"
	const unknown = "Berth does not know this hook, and applies the object like any other; remove the annotation, or the object"
	for _, c := range []struct {
		kind, marks string
		want        string // mark=value of Berth's, "left out", or nothing
		said        string // the beginning of the only message
	}{
		{job, "helm.sh/hook: pre-install", "wave=-1000", ""},
		{job, "helm.sh/hook: 'pre-install,pre-upgrade', helm.sh/hook-weight: '-5', helm.sh/hook-delete-policy: before-hook-creation", "wave=-1005", ""},
		{job, "helm.sh/hook: pre-upgrade, helm.sh/hook-weight: '99999'", "wave=-100", ""},
		{config, "helm.sh/hook: pre-install, helm.sh/hook-weight: '-5'", "", ""}, // it comes first anyway
		{job, "helm.sh/hook: 'post-install, post-upgrade', helm.sh/hook-weight: '2'", "wave=1002", ""},
		{job, "helm.sh/hook: pre-install, berth.dev/wave: '-1'", "wave=-1", ""},
		{job, "helm.sh/hook: pre-delete", "job=on-removal", ""},
		{config, "helm.sh/hook: pre-delete", "", ""},
		{pod, "helm.sh/hook: pre-delete", "left out", "only a Job can run when an environment is torn down"},
		{job, "helm.sh/hook: post-delete", "left out", "nothing runs after an environment has been deleted; berth.dev/job: on-removal runs before"},
		{pod, "helm.sh/hook: test", "left out", "tests run by helm test only"},
		{pod, "helm.sh/hook: test-success", "left out", "tests run by helm test only"},
		{job, "helm.sh/hook: post-rollback", "left out", "a rollback runs no hooks"},
		{config, "helm.sh/hook: crd-install", "", ""},
		{job, "helm.sh/hook: later", "", unknown},
		{config, "helm.sh/resource-policy: keep", "", ""}, // which plan reads
		{job, "argocd.argoproj.io/hook: PreSync, argocd.argoproj.io/sync-wave: '-2', argocd.argoproj.io/hook-delete-policy: HookSucceeded", "wave=-1002", ""},
		{job, "argocd.argoproj.io/hook: Sync", "", ""},
		{job, "argocd.argoproj.io/hook: PostSync", "wave=1000", ""},
		{job, "argocd.argoproj.io/hook: PreDelete", "job=on-removal", ""},
		{job, "argocd.argoproj.io/hook: PostDelete", "left out", "nothing runs after an environment has been deleted"},
		{job, "argocd.argoproj.io/hook: SyncFail", "left out", "Berth runs nothing after a failed sync"},
		{config, "argocd.argoproj.io/hook: Skip, kustomize.toolkit.fluxcd.io/prune: disabled", "left out", "Argo CD does not apply it either"},
		{config, "argocd.argoproj.io/hook: Skip", "left out", "Argo CD does not apply it either"},
		{job, "argocd.argoproj.io/hook: Later", "", unknown},
		{deployment, "argocd.argoproj.io/sync-wave: '3'", "wave=3", ""},
		{config, "argocd.argoproj.io/sync-wave: '-3'", "wave=-3", ""},
		{config, "argocd.argoproj.io/sync-wave: first", "", "this is not an integer, and is ignored"},
		{config, "argocd.argoproj.io/sync-options: 'Prune=false,ServerSideApply=true'", "prune=never", ""},
		{config, "argocd.argoproj.io/sync-options: 'Replace=true'", "replace=when-immutable", ""},
		{config, "argocd.argoproj.io/sync-options: 'Force=true, Replace=false'", "replace=when-immutable", ""},
		{config, "argocd.argoproj.io/sync-options: 'Delete=false'", "", "the object is deleted with its environment all the same; onRemoval: Orphan of the entry keeps everything"},
		{config, "argocd.argoproj.io/sync-options: 'Prune=true,'", "", ""},
		{config, "argocd.argoproj.io/sync-options: 'Prune=confirm'", "", "Berth has nothing like Prune=confirm"},
		{config, "argocd.argoproj.io/compare-options: IgnoreExtraneous", "", ""},
		{config, "argocd.argoproj.io/ignore-healthcheck: 'true'", "", "the object's health counts all the same"},
		{config, "kustomize.toolkit.fluxcd.io/prune: disabled", "prune=never", ""},
		{config, "kustomize.toolkit.fluxcd.io/prune: Disabled, berth.dev/prune: allow", "prune=allow", ""},
		{config, "kustomize.toolkit.fluxcd.io/prune: enabled", "", ""},
		{config, "kustomize.toolkit.fluxcd.io/force: enabled", "replace=when-immutable", ""},
		{config, "kustomize.toolkit.fluxcd.io/reconcile: disabled", "drift=ignore", ""},
		{config, "kustomize.toolkit.fluxcd.io/ssa: Ignore", "drift=ignore", "what others change stays"},
		{config, "kustomize.toolkit.fluxcd.io/ssa: IfNotPresent", "drift=ignore", "what others change stays"},
		{config, "kustomize.toolkit.fluxcd.io/ssa: Merge", "", ""},
		{config, "kustomize.toolkit.fluxcd.io/ssa: Later", "", "Berth has nothing like this"},
		{config, "config.kubernetes.io/local-config: 'true'", "left out", "it is for tools, not for the cluster"},
		{config, "config.kubernetes.io/local-config: 'false'", "", ""},
	} {
		t.Run(c.kind+" "+c.marks, func(t *testing.T) {
			version, kind, _ := strings.Cut(c.kind, " ")
			text := header + "---\napiVersion: " + version + "\nkind: " + kind + "\nmetadata: {name: x, annotations: {" + c.marks + "}}\n"
			set := rendered(t, one(text), options()).Set
			got := "left out"
			for _, o := range set.Objects {
				if o.GetName() != "x" {
					continue
				}
				got = ""
				for _, mark := range []string{manifest.AnnotationWave, manifest.AnnotationJob, manifest.AnnotationPrune, manifest.AnnotationDrift, manifest.AnnotationReplace} {
					if value := o.GetAnnotations()[mark]; value != "" {
						got += strings.TrimPrefix(mark, "berth.dev/") + "=" + value
					}
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			var said []string
			for _, w := range set.Warnings {
				_, after, _ := strings.Cut(w.Text, ": ")
				_, after, _ = strings.Cut(after, ": ")
				said = append(said, strings.TrimPrefix(after, "the object is left out; "))
			}
			if c.said == "" && len(said) > 0 || c.said != "" && (len(said) != 1 || !strings.HasPrefix(said[0], c.said)) {
				t.Errorf("said %q, want %q", said, c.said)
			}
		})
	}
}

func TestFluxMaySwitchVariablesOff(t *testing.T) {
	set := rendered(t, one("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}}\ndata: {a: '${BRANCH}'}\n"), options()).Set
	if got := set.Objects[0].Object["data"].(map[string]any)["a"]; got != "${BRANCH}" {
		t.Errorf("got %v", got)
	}
}

// Hooks of Argo CD have generated names. They do not matter, because the objects are left out.
func TestWhatIsLeftOutNeedNotBeComplete(t *testing.T) {
	result := rendered(t, one(header+"---\napiVersion: batch/v1\nkind: Job\nmetadata: {generateName: x-, annotations: {argocd.argoproj.io/hook: SyncFail}}\n"), options())
	if want := []string{"infra/k8s/x.yaml:8: Job: argocd.argoproj.io/hook: SyncFail: the object is left out; Berth runs nothing after a failed sync; the environment's events report the failure"}; !slices.Equal(warned(result), want) {
		t.Errorf("got %q", warned(result))
	}
}
