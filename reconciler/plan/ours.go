package plan

import (
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Ours reports whether Berth provably made an object for an environment: it bears the environment's label, and
// the record has it or it bears a proof that was made for this very object. The label alone proves nothing,
// because anybody with rights in the namespace can write it, and because a copy bears it too.
func Ours(l observed.Object, environment string, record Record, prover manifest.Prover) bool {
	return l.Environment == environment && !l.Controlled && (record.has(l) || l.Proved(environment, prover))
}

// has reports whether the record has an object: that it was written and still bears something of that, or which run
// of a Job it is.
func (r Record) has(l observed.Object) bool {
	if manifest.IsJob(l.Key.GroupKind()) {
		run, ok := r.Jobs[l.Key]
		return ok && run.UID == l.UID
	}
	_, ok := r.Applied[l.Key]
	return ok && (l.Ownership != "" || l.Digest != "")
}

// ours is Ours for the environment of the plan.
func (m *maker) ours(l observed.Object) bool {
	if !m.within(l.Key) && !m.in.Record.has(l) {
		return false
	}
	return Ours(l, m.in.Environment, m.in.Record, m.in.Prover)
}

// within reports whether an object lies in the namespace that the environment is confined to, or is that.
func (m *maker) within(k manifest.Key) bool {
	return m.in.Within == "" || k.Namespace == m.in.Within || isNamespace(k) && k.Name == m.in.Within
}

// others reports whether an object is provably another environment's, or may be another installation's, of which
// nothing can be proved. A label that somebody has changed on an object of ours makes it nobody else's: whoever takes
// an object over writes a proof of their own.
func (m *maker) others(l observed.Object) bool {
	if l.Environment == "" || l.Environment == m.in.Environment || m.in.Record.has(l) && l.Proved(m.in.Environment, m.in.Prover) {
		return false
	}
	return !m.in.Record.has(l) || !SameInstallation(l.Environment, m.in.Environment) || l.Proved(l.Environment, m.in.Prover)
}

// SameInstallation reports whether two environments, given by their label's values, are of one installation.
func SameInstallation(environment, other string) bool {
	id, _, _ := strings.Cut(environment, ".")
	otherID, _, _ := strings.Cut(other, ".")
	return id == otherID
}

// unmarked reports whether an object that we wrote bears no proof yet.
func (m *maker) unmarked(l *observed.Object) bool { return l.Proof == "" && m.in.Prover.Proves() }

// copies warns of objects that bear our label and digest and that Berth did not make: they are somebody's copies,
// and are left alone.
func (m *maker) copies() {
	desired := make(map[manifest.Key]bool, len(m.steps))
	for _, s := range m.steps {
		desired[s.Key] = true
	}
	var copies []observed.Object
	for key, live := range m.in.Observed.Objects {
		labelled := live.Environment == m.in.Environment && live.Digest != "" && !live.Controlled && !live.Deleting
		if labelled && !desired[key] && !m.ours(live) {
			copies = append(copies, live)
		}
	}
	slices.SortFunc(copies, func(a, b observed.Object) int { return a.Key.Compare(b.Key) })
	for i, live := range copies {
		if i == namedCopies {
			m.warnings = append(m.warnings, fmt.Sprintf("%d more copies like that; to find them: kubectl get KIND -A -l %s=%s",
				len(copies)-namedCopies, manifest.LabelEnvironment, m.in.Environment))
			return
		}
		m.warnings = append(m.warnings, fmt.Sprintf("%s: bears this environment's label but was not made by Berth: it is probably a copy, and is left alone; to take the label off: %s",
			live.Key, unlabel(live.Key)))
	}
}

// namedCopies is how many copies have a warning of their own.
const namedCopies = 3

// unlabel is the command that takes the environment's label off an object.
func unlabel(k manifest.Key) string {
	kind := strings.ToLower(k.Kind)
	if k.Group != "" {
		kind += "." + k.Group
	}
	command := fmt.Sprintf("kubectl label %s %s", kind, k.Name)
	if k.Namespace != "" {
		command += " -n " + k.Namespace
	}
	return command + " " + manifest.LabelEnvironment + "-"
}
