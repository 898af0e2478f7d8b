package inspect

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/health"
)

// beside are the reasons of warnings that do not explain why an object is unhealthy. Clusters with such a setup
// report them for every pod.
var beside = map[string]bool{"MissingClusterDNS": true, "DNSConfigForming": true, "PossibleMemoryBackedVolumesOnDisk": true}

// warnings adds the last warning to each unhealthy object. Some reasons are nowhere else, such as that of a Job
// whose pods are refused.
func (i *Inspector) warnings(ctx context.Context, env *v1alpha1.Environment, d *Description) {
	unhealthy := map[corev1.ObjectReference]*Object{}
	for n := range d.Objects {
		if o := &d.Objects[n]; o.Health != health.Healthy && o.Namespace == env.Spec.Namespace {
			unhealthy[corev1.ObjectReference{Kind: o.Kind, Name: o.Name}] = o
		}
	}
	if len(unhealthy) == 0 {
		return
	}
	list := &corev1.EventList{}
	if err := i.Client.List(ctx, list, client.InNamespace(env.Spec.Namespace), client.MatchingFields{"type": corev1.EventTypeWarning}); err != nil {
		d.note("the events of the namespace "+env.Spec.Namespace, err)
		return
	}
	newest := map[*Object]*corev1.Event{}
	for n := range list.Items {
		e := &list.Items[n]
		o := unhealthy[corev1.ObjectReference{Kind: e.InvolvedObject.Kind, Name: e.InvolvedObject.Name}]
		if o == nil || LastSeen(e).Time.Before(o.CreatedAt.Time) || beside[e.Reason] { // an earlier object of the same name
			continue
		}
		if last := newest[o]; last == nil || LastSeen(last).Time.Before(LastSeen(e).Time) {
			newest[o] = e
		}
	}
	for o, e := range newest {
		told := e.Reason == "FailedCreate" && strings.Contains(o.Message, "cannot create pods: ")
		if !told && !strings.Contains(o.Message, e.Message) {
			o.Message = strings.TrimPrefix(o.Message+"; last warning: "+e.Reason+": "+e.Message, "; ")
		}
	}
}
