package inspect

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

// maxEvents is how many events are shown.
const maxEvents = 10

// Events returns the latest events about the Environment, the newest first, and what could not be read.
func (i *Inspector) Events(ctx context.Context, env *v1alpha1.Environment) (events []Event, notes []string) {
	var d Description
	i.events(ctx, env, &d)
	return d.Events, d.Notes
}

// events reads the events about the Environment itself.
func (i *Inspector) events(ctx context.Context, env *v1alpha1.Environment, d *Description) {
	list := &corev1.EventList{}
	about := client.MatchingFields{"involvedObject.kind": "Environment", "involvedObject.name": env.Name}
	if err := i.Client.List(ctx, list, client.InNamespace(env.Namespace), about); err != nil {
		d.note("the events of the Environment", err)
		return
	}
	for n := range list.Items {
		e := &list.Items[n]
		event := Event{Time: LastSeen(e), Type: e.Type, Reason: e.Reason, Message: e.Message}
		if e.Related != nil {
			event.Object = e.Related.Kind + "/" + e.Related.Name
		}
		d.Events = append(d.Events, event)
	}
	slices.SortStableFunc(d.Events, func(a, b Event) int { return b.Time.Compare(a.Time.Time) })
	d.Events = d.Events[:min(maxEvents, len(d.Events))]
}

// LastSeen returns when an event last happened, in either of the two event APIs.
func LastSeen(e *corev1.Event) metav1.Time {
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return metav1.Time{Time: e.Series.LastObservedTime.Time}
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp
	case !e.EventTime.IsZero():
		return metav1.Time{Time: e.EventTime.Time}
	}
	return e.CreationTimestamp
}
