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

// autoscalers are the kinds whose objects see to the replicas of another object, and where they name it.
var autoscalers = map[schema.GroupKind][]string{
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: {"spec", "scaleTargetRef"},
	{Group: "keda.sh", Kind: "ScaledObject"}:                {"spec", "scaleTargetRef"},
	{Group: "flagger.app", Kind: "Canary"}:                  {"spec", "targetRef"},
	{Group: "argoproj.io", Kind: "Rollout"}:                 {"spec", "workloadRef"},
}

// scales returns which autoscaler of the set sees to which workload.
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

// leave notes which fields of the object are left to others, and to whom: what well-known controllers write, and the
// replicas once somebody scales the object (never before, or it would begin with one). Replicas that leave Git because
// an autoscaler comes are held until it has scaled for the first time: the API server would make one of them. A claim
// that others have enlarged stays as large.
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

// ScaledTo says that an autoscaler which Git does not know scales the object: its number of replicas is left to that.
func (s Step) ScaledTo(autoscaler string) Step {
	s.Leave, s.ScaledBy = append(slices.Clone(s.Leave), replicasField), autoscaler
	return s
}

// Fill copies into an object that is to be applied what is to stay as it is in the cluster.
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

// Reads reports whether an object can be applied only once what is in the cluster is known.
func (s Step) Reads() bool { return len(s.Hold) > 0 || s.Share != "" && s.Live != nil }

// isScaled reports whether somebody else sees to the number of replicas that Git has for the object. That number is in
// nobody's managed fields once it is zero: then whoever scaled before is taken to have done it.
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

// rescaled reports whether the number of replicas was left to somebody who sees to it no more, so that Git's
// holds again. Of an autoscaler that never stood in Git nothing can be said.
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

// untyped is a key as autoscalers name their target.
func untyped(k manifest.Key) manifest.Key { k.Group = ""; return k }

// autoscaler returns the one that Git has for a workload or, if it has none, the one that it had.
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
