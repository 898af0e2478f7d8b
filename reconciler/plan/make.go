package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Make decides what to do for a first sync, drift, a gate and a prune alike. It changes nothing in its input.
func Make(in Input) Plan {
	m := &maker{in: in, record: in.Record.Clone(), intended: map[manifest.Key]JobRecord{}, brought: broughtBy(in.Desired), scales: scales(in.Desired), dependencies: dependenciesOf(in.Desired)}
	m.begin()
	m.confirm()
	m.namespace()
	for i := range in.Own {
		m.object(&in.Own[i])
	}
	for i := range in.Desired.Objects {
		m.object(&in.Desired.Objects[i])
	}
	m.gates()
	m.refuse()
	m.prune()
	m.copies()
	m.intentions()
	m.tidy()
	return m.conclude()
}

// maker holds a plan while it is made.
type maker struct {
	in           Input
	record       Record
	steps        []Step
	places       []manifest.Place // of the step with the same index
	deadline     time.Time
	warnings     []string
	retried      []manifest.Key // were refused, and are due for a retry
	guarded      []manifest.Key // whose deletion the deletion guard blocks
	intended     map[manifest.Key]JobRecord
	brought      map[schema.GroupKind]bool     // kinds that CustomResourceDefinitions of the set bring
	scales       map[manifest.Key]manifest.Key // autoscalers of the set, by what they scale
	dependencies *dependencies
}

// begin records a new attempt when the input changed, when a user asked for a retry, or when nothing is left of the
// earlier attempts.
func (m *maker) begin() {
	m.stay()
	if ns := m.in.Namespace.Object; ns.Unstructured != nil {
		m.settleIn(ns.Key())
	}
	sync, started := &m.record.Sync, m.in.Now.UTC().Truncate(time.Millisecond)
	if sync.Digest != m.in.Digest {
		begun := Sync{Digest: m.in.Digest, Commit: m.in.Commit, Started: started, Running: sync.Running || sync.Settled}
		if !sync.Settled {
			begun.Superseded = Superseded{Commit: sync.Commit, Started: sync.Started}
		}
		m.follow(*sync, &begun)
		*sync = begun
		return
	}
	if !m.in.Pinned && !m.in.Past {
		sync.Pinned, m.record.Head = false, sync.Digest
	}
	if m.in.Retry {
		sync.Started, sync.Since = started, time.Time{}
	}
}

// settleIn forgets what was in the environment's namespace if that is gone. It does the same if the environment was
// re-created with another namespace: what it deliberately left in the old one is no longer its own.
func (m *maker) settleIn(ns manifest.Key) {
	if m.isLost(ns) {
		m.record.forget(ns)
	}
	if before := m.record.Namespace; before != "" && before != ns.Name {
		m.record.forget(manifest.Key{Kind: ns.Kind, Name: before})
		m.in.Record = m.record.Clone()
	}
	m.record.Namespace = ns.Name
}

// isLost reports whether the namespace is gone although we made it.
func (m *maker) isLost(ns manifest.Key) bool {
	_, unknown := m.in.Observed.Unknown[ns.GroupKind()]
	return !unknown && m.in.Observed.Namespace == nil && m.record.Applied[ns].Digest != ""
}

// now is the time of the pass as records keep it.
func (m *maker) now() time.Time { return m.in.Now.UTC().Truncate(time.Second) }

// replanAt records when the plan may change although nothing happens.
func (m *maker) replanAt(t time.Time) {
	if !t.IsZero() && (m.deadline.IsZero() || t.Before(m.deadline)) {
		m.deadline = t
	}
}

func (m *maker) add(s Step, place manifest.Place) {
	s.Stage = stage(s.Key, place)
	m.steps, m.places = append(m.steps, s), append(m.places, place)
}

// The stages of a pass. Dependencies are written in earlier stages. Deletions come last, in reverse order.
const (
	stageNamespace = iota
	stageOwn
	stageFirst
	stageMain
	stageLast
	stageDeletions
)

func stage(key manifest.Key, place manifest.Place) int {
	switch {
	case place.Phase == manifest.First && key.Group == "" && key.Kind == "Namespace":
		return stageNamespace
	case manifest.IsOwn(key):
		return stageOwn
	case place.Phase == manifest.First:
		return stageFirst
	case place.Phase == manifest.Last:
		return stageLast
	}
	return stageMain
}

// namespace decides about the environment's own namespace, which everything else needs.
func (m *maker) namespace() {
	object := m.in.Namespace.Object
	if object.Unstructured == nil {
		return
	}
	s := Step{Action: Keep, Key: object.Key(), Object: &object, Live: m.in.Observed.Namespace}
	if s.Live != nil {
		s.Health = s.Live.Health
	}
	unknown, isUnknown := m.in.Observed.Unknown[s.Key.GroupKind()]
	switch live := s.Live; {
	case isUnknown:
		m.unknown(&s, unknown)
	case live == nil, live.Deleting, m.ours(*live), m.lostItsMarks(live):
		m.compare(&s)
	case live.Environment == m.in.Environment && !m.in.Namespace.Shared:
		m.fail(&s, "has this environment's label, but was not made by Berth; delete it, or change the entry's namespace")
	case m.in.Released[s.Key]:
		m.compare(&s)
	case live.Environment != "" && live.Environment != m.in.Environment:
		m.fail(&s, "belongs to another environment; choose another namespace for one of the two. Entries that name their branches can share a namespace that Berth did not create")
	case m.in.Namespace.Shared:
		s.Reason = "was there before and is not Berth's"
	default:
		m.fail(&s, "was there before and is not Berth's; an entry with a pattern uses only namespaces that Berth made: delete it, or change the entry's namespace")
	}
	m.refused(&s)
	m.add(s, manifest.KindPlace(s.Key.GroupKind()))
}

// lostItsMarks reports whether we wrote the namespace and another client removed or changed its label.
func (m *maker) lostItsMarks(l *observed.Object) bool {
	return !m.others(*l) && l.Digest != "" && l.Digest == m.record.Applied[l.Key].Digest
}

// fail marks the step of an object that cannot become what Git says without help.
func (m *maker) fail(s *Step, why string) {
	s.Failure = why
	s.Blocked = why
	s.Health = health.Health{Status: health.Failed, Message: why}
}

// object decides about one desired object, regardless of the gates, which follow later.
func (m *maker) object(o *manifest.Object) {
	place, err := manifest.PlaceOf(*o)
	s := Step{Action: Keep, Key: o.Key(), Object: o, Health: health.Health{Status: health.Healthy}}
	if live, ok := m.in.Observed.Objects[s.Key]; ok {
		s.Live, s.Health = &live, live.Health
		m.replanAt(live.Recheck)
	}
	s.Object = m.asApplied(o, s.Live)
	s.MayReplace = m.mayReplace(s)
	switch unknown, isUnknown := m.in.Observed.Unknown[s.Key.GroupKind()]; {
	case err != nil:
		m.fail(&s, err.Error())
	case m.dependencies.mistake(s.Key) != "":
		m.fail(&s, m.dependencies.mistake(s.Key))
	case isUnknown:
		m.unknown(&s, unknown)
	case s.Live != nil && Yields(o, *s.Live, m.in.Environment):
		m.yield(&s)
	case s.Live != nil && !s.Live.Deleting && m.others(*s.Live) && !m.in.Released[s.Key]:
		m.fail(&s, "belongs to another environment; two environments cannot share an object: remove it from one of them")
	case s.Live != nil && !s.Live.Deleting && Claimed(*s.Live, o) != "":
		m.fail(&s, Claimed(*s.Live, o))
	case manifest.IsJob(s.Key.GroupKind()):
		m.job(&s)
	default:
		m.compare(&s)
	}
	m.refused(&s)
	m.inherit(&s)
	m.fought(&s)
	if s.Healthy() && s.Health.Message != "" { // a guess, which users should know of
		m.warnings = append(m.warnings, s.Key.Short()+" "+s.Health.Message)
	}
	if warning := m.record.Warnings[s.Key]; warning != "" {
		m.warnings = append(m.warnings, fmt.Sprintf("%s (%s): the API server warns: %s", s.Key.Short(), o.Origin, warning))
	}
	if RunsOnRemoval(o) {
		place.Phase = manifest.First // recorded before the first Job creates what this one has to remove
	}
	m.add(s, place)
}

// asApplied returns the object with the digest that it bears in the cluster, if nothing changed since except which
// kinds have keyed digests.
func (m *maker) asApplied(o *manifest.Object, live *observed.Object) *manifest.Object {
	digests := []string{m.record.Applied[o.Key()].Digest, m.record.Jobs[o.Key()].Digest}
	if live != nil {
		digests = append(digests, live.Digest)
	}
	if manifest.IsJob(o.GroupVersionKind().GroupKind()) {
		digests = append(digests, m.record.digestsOf(o.Key())...)
	}
	for _, digest := range digests {
		content, _, _ := strings.Cut(digest, "@") // see identified
		if applied := o.As(content); applied != nil {
			return applied
		}
	}
	return o
}

// unknown decides about an object that cannot be seen.
func (m *maker) unknown(s *Step, u observed.Unknown) {
	s.Action, s.Reason = Create, "was not seen in the cluster"
	switch {
	case u.State != observed.NotServed:
		s.block(forItself, "cannot be seen by the agent: "+u.Message)
		s.Health = health.Health{Status: health.Unknown, Message: s.Blocked}
	case m.brought[s.Key.GroupKind()]:
		s.unseeable = true
		s.block(forItself, "its CustomResourceDefinition is not established yet")
		s.Health = health.Health{Status: health.Progressing, Message: s.Blocked}
	default:
		next := "is its CRD installed, and the version right?"
		if u.Elsewhere != "" {
			next = "it has that kind in " + u.Elsewhere + ": correct apiVersion"
		}
		m.fail(s, fmt.Sprintf("the cluster does not know the kind %s of %s; %s", s.Key.Kind, s.Object.GetAPIVersion(), next))
	}
}

// broughtBy returns the kinds that CustomResourceDefinitions of the set bring.
func broughtBy(set manifest.Set) map[schema.GroupKind]bool {
	kinds := map[schema.GroupKind]bool{}
	for _, o := range set.Objects {
		if o.GetKind() != "CustomResourceDefinition" {
			continue
		}
		spec, _ := o.Object["spec"].(map[string]any)
		names, _ := spec["names"].(map[string]any)
		group, _ := spec["group"].(string)
		kind, _ := names["kind"].(string)
		kinds[schema.GroupKind{Group: group, Kind: kind}] = true
	}
	return kinds
}

// refused blocks a step that the API server refused before, until its retry is due.
func (m *maker) refused(s *Step) {
	r, ok := m.in.Refusals[s.Key]
	if !ok || s.Action == Keep || s.Blocked != "" || r.Digest != s.Content() {
		return
	}
	if r.Immutable {
		if r.Message = m.replaced(s, r.Message); r.Message == "" {
			return
		}
	}
	due := !m.in.Now.Before(r.Until)
	fatal := r.Fatal && (s.Action != Delete || s.Object == nil) // a finished Job may stay a little longer
	switch {
	case due && fatal && m.changes(*s):
		m.retried = append(m.retried, s.Key)
	case due:
		s.Late = r.Unanswered
	case r.Taken:
		m.yield(s)
	case fatal:
		m.fail(s, r.Message)
	default:
		s.block(forItself, r.Message)
		s.Health = health.Health{Status: health.Progressing, Message: r.Message}
	}
	if !due {
		m.replanAt(r.Until)
	}
}

// intentions records the runs that are about to begin. It omits blocked runs, because Git may return to the run before.
func (m *maker) intentions() {
	for _, s := range m.steps {
		if run, ok := m.intended[s.Key]; ok && s.Acts() {
			m.record.Jobs[s.Key] = run
		}
	}
}

// tidy records all kinds that have to be watched: those that are written, and those of objects that still exist. It
// forgets what neither Git nor the cluster has any more. If a kind has never been seen, nothing of it was written.
func (m *maker) tidy() {
	there := make(map[manifest.Key]bool, len(m.steps))
	for _, s := range m.steps {
		there[s.Key] = true
	}
	maps.DeleteFunc(m.record.Jobs, func(k manifest.Key, _ JobRecord) bool { return !there[k] && !m.in.Past })
	maps.DeleteFunc(m.record.Applied, func(k manifest.Key, _ Applied) bool { return !there[k] })
	maps.DeleteFunc(m.record.Warnings, func(k manifest.Key, _ string) bool { return !there[k] })
	isUnknown := func(gvk schema.GroupVersionKind) bool {
		_, unknown := m.in.Observed.Unknown[gvk.GroupKind()]
		return unknown
	}
	kinds := slices.DeleteFunc(m.in.Kinds(), isUnknown)
	for _, gvk := range m.record.Kinds {
		unknown := isUnknown(gvk)
		stillThere := slices.ContainsFunc(m.steps, func(s Step) bool { return s.Key.GroupKind() == gvk.GroupKind() })
		listed := slices.ContainsFunc(kinds, func(k schema.GroupVersionKind) bool { return k.GroupKind() == gvk.GroupKind() })
		if !listed && (unknown || stillThere) {
			kinds = append(kinds, gvk)
		}
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return cmp.Compare(a.String(), b.String()) })
	m.record.Kinds = kinds
}
