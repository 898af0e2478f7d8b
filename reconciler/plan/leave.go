package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// autoscalers are the kinds whose objects manage the replicas of another object, with the path at which they name it.
var autoscalers = map[schema.GroupKind][]string{
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: {"spec", "scaleTargetRef"},
	{Group: "keda.sh", Kind: "ScaledObject"}:                {"spec", "scaleTargetRef"},
	{Group: "flagger.app", Kind: "Canary"}:                  {"spec", "targetRef"},
	{Group: "argoproj.io", Kind: "Rollout"}:                 {"spec", "workloadRef"},
}

// scales returns the autoscaler of each workload in the set.
func scales(set manifest.Set) map[manifest.Key]manifest.Key {
	var by map[manifest.Key]manifest.Key
	for _, o := range set.Objects {
		path, scales := autoscalers[o.GroupVersionKind().GroupKind()]
		target, _, _ := unstructured.NestedMap(o.Object, path...)
		if !scales || target == nil {
			continue
		}
		if by == nil {
			by = map[manifest.Key]manifest.Key{}
		}
		kind, _ := target["kind"].(string)
		name, _ := target["name"].(string)
		if kind == "" {
			kind = "Deployment" // KEDA's default
		}
		by[manifest.Key{Kind: kind, Namespace: o.GetNamespace(), Name: name}] = o.Key()
	}
	return by
}

// leave records which fields of the object other field managers own, and which ones. Such fields are those that
// well-known controllers write, and the replicas once the object is scaled. Git's replicas are applied until then,
// because the object would otherwise begin with one. If an autoscaler takes the place of Git's replicas, these are held
// until it scales for the first time. The API server would otherwise default them to one. A claim that others have
// enlarged keeps its size.
func (m *maker) leave(s *Step) {
	s.Leave, s.Share = ofOthers(s.Object), sharedBy(s.Object)
	_, scales := m.scales[untyped(s.Key)]
	switch {
	case scales && s.Live != nil && s.Live.Replicas && !setsReplicas(s.Object):
		s.Hold = []string{replicasField}
	case namesReplicas(s.Object) && !setsReplicas(s.Object) && (scales || s.Live != nil && s.Live.Scaler != ""):
		s.Leave = append(s.Leave, replicasField) // a null would set the API server's default
	case m.isScaled(s):
		s.Leave, s.LeftTo = append(s.Leave, replicasField), m.autoscaler(s.Key)
		if s.LeftTo == (manifest.Key{}) {
			s.ScaledBy = cmp.Or(s.Live.Scaler, m.in.Record.Applied[s.Key].ScaledBy)
		}
	case s.Live != nil && s.Live.Ownership != "" && s.Live.Scaler == "" && !s.Live.Replicas && setsReplicas(s.Object):
		s.Seek = true
	case m.isEnlarged(s):
		s.Leave = append(s.Leave, observed.StorageRequest)
	}
}

const replicasField = "spec.replicas"

// ScaledTo returns the step with the number of replicas left to an autoscaler that Git does not know.
func (s Step) ScaledTo(autoscaler string) Step {
	s.Leave, s.ScaledBy = append(slices.Clone(s.Leave), replicasField), autoscaler
	return s
}

// Fill copies the values that stay as they are in the cluster into an object that is to be applied.
func (s Step) Fill(object, live *unstructured.Unstructured) error {
	for _, path := range s.Hold {
		fields := strings.Split(path, ".")
		value, there, err := unstructured.NestedFieldCopy(live.Object, fields...)
		if err == nil && there {
			err = unstructured.SetNestedField(object.Object, value, fields...)
		}
		if err != nil {
			return fmt.Errorf("keeping %s: %w", path, err)
		}
	}
	s.share(object, live)
	return nil
}

// Reads reports whether an object can be applied only once its live version is known.
func (s Step) Reads() bool { return len(s.Hold) > 0 || s.Share != "" && s.Live != nil }

// isScaled reports whether another field manager owns the number of replicas that Git has for the object. Once that
// number is zero, it is in no managed fields. The previous scaler is then assumed to have set it.
func (m *maker) isScaled(s *Step) bool {
	if s.Live == nil || s.Live.Replicas || !setsReplicas(s.Object) {
		return false
	}
	if _, inGit := m.scales[untyped(s.Key)]; inGit {
		return true
	}
	applied := m.in.Record.Applied[s.Key]
	switch {
	case applied.LeftTo != (manifest.Key{}):
		return !m.isGone(applied.LeftTo)
	case s.Live.Scaler == "":
		return applied.ScaledBy != ""
	}
	return !isKubectl(s.Live.Scaler)
}

func isKubectl(manager string) bool {
	return manager == "kubectl" || strings.HasPrefix(manager, "kubectl-")
}

// rescaled reports whether the number of replicas was left to a field manager that no longer manages it, so that Git's
// number applies again. For an autoscaler that was never in Git, this cannot be known.
func (m *maker) rescaled(s *Step) bool {
	taken := s.Live.Scaler != "" || !s.Live.Replicas && m.in.Record.Applied[s.Key].LeftTo != (manifest.Key{})
	return taken && setsReplicas(s.Object) && s.LeftTo == (manifest.Key{}) && s.ScaledBy == ""
}

// setsReplicas reports whether Git has a number of replicas; null is none.
func setsReplicas(o *manifest.Object) bool {
	value, there, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "replicas")
	return there && value != nil // "replicas: null" says that Git has no number
}

func namesReplicas(o *manifest.Object) bool {
	_, there, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "replicas")
	return there
}

// untyped returns a key as autoscalers name their target: without a group.
func untyped(k manifest.Key) manifest.Key { k.Group = ""; return k }

// autoscaler returns the autoscaler that Git has for a workload or, if there is none, the one that it had.
func (m *maker) autoscaler(workload manifest.Key) manifest.Key {
	if by, ok := m.scales[untyped(workload)]; ok {
		return by
	}
	return m.in.Record.Applied[workload].LeftTo
}

// isGone reports whether an autoscaler that has left Git has left the cluster too.
func (m *maker) isGone(autoscaler manifest.Key) bool {
	_, unknown := m.in.Observed.Unknown[autoscaler.GroupKind()]
	_, there := m.in.Observed.Objects[autoscaler]
	return !unknown && !there
}
