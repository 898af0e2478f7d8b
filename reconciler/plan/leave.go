package plan

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
)

// autoscalers are the kinds whose objects say whose replicas they see to, in spec.scaleTargetRef.
var autoscalers = map[schema.GroupKind]bool{
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: true,
	{Group: "keda.sh", Kind: "ScaledObject"}:                true,
}

// scales returns which autoscaler of the set sees to which workload.
func scales(set manifest.Set) map[manifest.Key]manifest.Key {
	var by map[manifest.Key]manifest.Key
	for _, o := range set.Objects {
		if !autoscalers[o.GroupVersionKind().GroupKind()] {
			continue
		}
		if by == nil {
			by = map[manifest.Key]manifest.Key{}
		}
		target, _, _ := unstructured.NestedMap(o.Object, "spec", "scaleTargetRef")
		kind, _ := target["kind"].(string)
		name, _ := target["name"].(string)
		if kind == "" {
			kind = "Deployment" // KEDA's default
		}
		by[manifest.Key{Kind: kind, Namespace: o.GetNamespace(), Name: name}] = o.Key()
	}
	return by
}

// leave notes which fields of the object are left to others, and to whom: the replicas once somebody
// scales the object (never before, or it would begin with one), and the rules of a ClusterRole that a
// controller puts together. Replicas that leave Git because an autoscaler comes are held until it has scaled
// for the first time: the API server would make one of them.
func (m *maker) leave(s *Step) {
	_, scales := m.scales[untyped(s.Key)]
	switch {
	case scales && s.Live != nil && s.Live.Replicas && !setsReplicas(s.Object):
		s.Hold = []string{"spec.replicas"}
	case s.Key.Kind == "ClusterRole" && s.Object.Object["aggregationRule"] != nil:
		s.Leave = []string{"rules"}
	case m.isScaled(s):
		s.Leave, s.LeftTo = []string{"spec.replicas"}, m.autoscaler(s.Key)
	}
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
	return nil
}

// isScaled says whether somebody else sees to the number of replicas that Git has for the object.
func (m *maker) isScaled(s *Step) bool {
	if s.Live == nil || s.Live.Scaler == "" || !setsReplicas(s.Object) {
		return false
	}
	if _, inGit := m.scales[untyped(s.Key)]; inGit {
		return true
	}
	if before := m.in.Record.Applied[s.Key].LeftTo; before != (manifest.Key{}) {
		return !m.isGone(before)
	}
	return !isKubectl(s.Live.Scaler)
}

// rescaled says whether the number of replicas was left to somebody who sees to it no more, so that Git's
// holds again. Of an autoscaler that never stood in Git nothing can be said.
func (m *maker) rescaled(s *Step) bool {
	return s.Live.Scaler != "" && setsReplicas(s.Object) && len(s.Leave) == 0
}

func setsReplicas(o *manifest.Object) bool {
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

// isGone says whether an autoscaler that has left Git has left the cluster too.
func (m *maker) isGone(autoscaler manifest.Key) bool {
	_, unknown := m.in.Observed.Unknown[autoscaler.GroupKind()]
	_, there := m.in.Observed.Objects[autoscaler]
	return !unknown && !there
}
