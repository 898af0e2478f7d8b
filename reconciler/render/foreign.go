package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Marks of other tools cannot all be ignored, because an ignored one may reverse its meaning: a test, or a Job for
// the deletion, would be applied like anything else.

// effect is the consequence of another tool's mark for an object.
type effect struct {
	// mark is Berth's equivalent, with its value.
	mark, value string
	// leave is true if the object is left out.
	leave bool
	// text is the warning; empty for none.
	text  string
	level manifest.Level
}

// foreignMarks are the annotations that are read, each with the meaning of its values for an object.
var foreignMarks = []struct {
	name string
	read func(value string, c checker) []effect
}{
	{"config.kubernetes.io/local-config", localConfig},
	{"helm.sh/hook", helmHook},
	{"argocd.argoproj.io/hook", argoHook},
	{"argocd.argoproj.io/sync-wave", argoWave},
	{"argocd.argoproj.io/sync-options", argoOptions},
	{"argocd.argoproj.io/ignore-healthcheck", ignoredHealth},
	{"kustomize.toolkit.fluxcd.io/prune", fluxMark("disabled", manifest.AnnotationPrune, "never")},
	{"kustomize.toolkit.fluxcd.io/force", fluxMark("enabled", manifest.AnnotationReplace, "when-immutable")},
	{"kustomize.toolkit.fluxcd.io/reconcile", fluxMark("disabled", manifest.AnnotationDrift, "ignore")},
	{"kustomize.toolkit.fluxcd.io/ssa", fluxApply},
}

// The hooks of another tool run before or after everything else, in the order of their weights.
const (
	beforeAll = -1000
	afterAll  = 1000
	maxWeight = 900
)

// foreign carries out the marks of other tools, and reports whether the object is kept. Berth's own marks win.
func (r *renderer) foreign(c checker) (keep bool) {
	metadata, _ := c.content["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	keep = true
	for _, mark := range foreignMarks {
		value, marked := annotations[mark.name].(string)
		if !marked {
			continue
		}
		for _, e := range mark.read(value, c) {
			if _, own := annotations[e.mark]; e.mark != "" && !own {
				annotations[e.mark] = e.value
			}
			if e.text != "" {
				c.warn(r, e.level, []string{"metadata", "annotations", mark.name}, mark.name+": "+value+": "+e.text)
			}
			keep = keep && !e.leave
		}
	}
	return keep
}

func leave(text string) []effect {
	return []effect{{leave: true, level: manifest.Note, text: "the object is left out; " + text}}
}

func onlyWarn(text string) []effect { return []effect{{text: text}} }

func localConfig(value string, _ checker) []effect {
	if value == "false" {
		return nil
	}
	return leave("it is for tools, not for the cluster")
}

func helmHook(value string, c checker) []effect {
	has := func(hooks ...string) bool {
		return slices.ContainsFunc(strings.Split(value, ","), func(hook string) bool { return slices.Contains(hooks, strings.TrimSpace(hook)) })
	}
	weight := c.number("helm.sh/hook-weight")
	switch {
	case has("pre-install", "pre-upgrade"):
		return c.hook(beforeAll, weight)
	case has("post-install", "post-upgrade"):
		return c.hook(afterAll, weight)
	case has("pre-delete"):
		return c.onRemoval()
	case has("post-delete"):
		return []effect{{leave: true, text: "the object is left out; nothing runs after an environment has been deleted; berth.dev/job: on-removal runs before"}}
	case has("test", "test-success", "test-failure"):
		return leave("tests run by helm test only")
	case has("pre-rollback", "post-rollback"):
		return leave("a rollback runs no hooks")
	case has("crd-install"):
		return nil
	}
	return onlyWarn("Berth does not know this hook, and applies the object like any other; remove the annotation, or the object")
}

func argoHook(value string, c checker) []effect {
	has := func(hook string) bool {
		return slices.ContainsFunc(strings.Split(value, ","), func(h string) bool { return strings.TrimSpace(h) == hook })
	}
	weight := c.number("argocd.argoproj.io/sync-wave")
	switch {
	case has("PreSync"):
		return c.hook(beforeAll, weight)
	case has("Sync"):
		return nil
	case has("PostSync"):
		return c.hook(afterAll, weight)
	case has("PreDelete"):
		return c.onRemoval()
	case has("SyncFail"):
		return []effect{{leave: true, text: "the object is left out; Berth runs nothing after a failed sync; the environment's events report the failure"}}
	case has("PostDelete"):
		return []effect{{leave: true, text: "the object is left out; nothing runs after an environment has been deleted; berth.dev/job: on-removal runs before"}}
	case has("Skip"):
		return leave("Argo CD does not apply it either")
	}
	return onlyWarn("Berth does not know this hook, and applies the object like any other; remove the annotation, or the object")
}

// hook places a Job or pod before or after everything else. Anything that does not run, such as a ConfigMap, is
// applied first anyway.
func (c checker) hook(base, weight int) []effect {
	if manifest.KindPlace(c.kind()).Phase == manifest.First {
		return nil
	}
	return []effect{{mark: manifest.AnnotationWave, value: strconv.Itoa(base + max(-maxWeight, min(maxWeight, weight)))}}
}

// onRemoval makes a Job run when the environment is removed. Other objects with the mark are applied as usual,
// because such a Job may need them.
func (c checker) onRemoval() []effect {
	if c.kind() == (schema.GroupKind{Group: "batch", Kind: "Job"}) {
		return []effect{{mark: manifest.AnnotationJob, value: "on-removal"}}
	}
	if manifest.KindPlace(c.kind()).Phase == manifest.First {
		return nil
	}
	return []effect{{leave: true, text: "the object is left out; only a Job can run when an environment is torn down"}}
}

func argoWave(value string, c checker) []effect {
	if c.annotation("argocd.argoproj.io/hook") != "" { // hook took it into account
		return nil
	}
	if _, err := strconv.Atoi(value); err != nil {
		return onlyWarn("this is not an integer, and is ignored")
	}
	return []effect{{mark: manifest.AnnotationWave, value: value}}
}

// argoDefaults are options that ask for what Berth does anyway, or that only concern how Argo CD works.
var argoDefaults = []string{"ServerSideApply", "Validate", "SkipDryRunOnMissingResource", "PruneLast", "ApplyOutOfSyncOnly", "RespectIgnoreDifferences",
	"FailOnSharedResource", "PrunePropagationPolicy", "ClientSideApplyMigration"}

func argoOptions(value string, _ checker) (effects []effect) {
	for option := range strings.SplitSeq(value, ",") {
		name, setting, _ := strings.Cut(strings.TrimSpace(option), "=")
		switch {
		case name == "Prune" && setting == "false":
			effects = append(effects, effect{mark: manifest.AnnotationPrune, value: "never"})
		case (name == "Replace" || name == "Force") && setting == "true":
			effects = append(effects, effect{mark: manifest.AnnotationReplace, value: "when-immutable"})
		case name == "Delete" && setting == "false":
			effects = append(effects, effect{text: "the object is deleted with its environment all the same; onRemoval: Orphan of the entry keeps everything"})
		case name == "" || setting == "true" && (name == "Prune" || name == "Delete") || setting == "false" && (name == "Replace" || name == "Force") || slices.Contains(argoDefaults, name):
		default:
			effects = append(effects, effect{text: fmt.Sprintf("Berth has nothing like %s", strings.TrimSpace(option))})
		}
	}
	return effects
}

func ignoredHealth(value string, _ checker) []effect {
	if value != "true" {
		return nil
	}
	return onlyWarn("the object's health counts all the same; move it out of the entry's path if it never settles")
}

// fluxMark reads a mark that has one value with a meaning.
func fluxMark(value, mark, means string) func(string, checker) []effect {
	return func(found string, _ checker) []effect {
		if !strings.EqualFold(found, value) {
			return nil
		}
		return []effect{{mark: mark, value: means}}
	}
}

func fluxApply(value string, _ checker) []effect {
	switch strings.ToLower(value) {
	case "ignore", "ifnotpresent":
		return []effect{{mark: manifest.AnnotationDrift, value: "ignore", level: manifest.Note,
			text: "what others change stays, as with berth.dev/drift: ignore; a change in Git is applied"}}
	case "merge", "override":
		return nil
	}
	return onlyWarn("Berth has nothing like this")
}

func (c checker) annotation(name string) string {
	return textIn(c.content, "metadata", "annotations", name)
}

// number returns the number in an annotation, or 0.
func (c checker) number(annotation string) int {
	n, _ := strconv.Atoi(c.annotation(annotation))
	return n
}

func (c checker) kind() schema.GroupKind {
	version, _ := c.content["apiVersion"].(string)
	kind, _ := c.content["kind"].(string)
	return schema.FromAPIVersionAndKind(version, kind).GroupKind()
}
