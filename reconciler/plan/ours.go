package plan

import (
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Ours reports whether Berth provably made an object for an environment. The object bears the environment's label, and
// either the record has it or it bears a proof for this very object. The label alone proves nothing, because any user
// with rights in the namespace can write it, and because a copy bears it too.
func Ours(l observed.Object, environment string, record Record, prover manifest.Prover) bool {
	return l.Environment == environment && !l.Controlled && (record.has(l) || l.Proved(environment, prover))
}

// has reports whether the record has an object. For a Job, it has this very run. For others, it has the write, and the
// object still bears a trace of it.
func (r Record) has(l observed.Object) bool {
	if manifest.IsJob(l.Key.GroupKind()) {
		run, ok := r.Jobs[l.Key]
		return ok && run.UID == l.UID
	}
	_, ok := r.Applied[l.Key]
	return ok && (l.Ownership != "" || l.Digest != "")
}

// ours calls Ours for the environment of the plan.
func (m *maker) ours(l observed.Object) bool {
	if !m.within(l.Key) && !m.in.Record.has(l) {
		return false
	}
	return Ours(l, m.in.Environment, m.in.Record, m.in.Prover)
}

// within reports whether an object is in the namespace that the environment is confined to, or is that namespace.
func (m *maker) within(k manifest.Key) bool {
	return m.in.Within == "" || k.Namespace == m.in.Within || isNamespace(k) && k.Name == m.in.Within
}

// others reports whether an object provably belongs to another environment. It also does so if the object may belong to
// another installation, whose proofs cannot be checked. A changed label on an object of ours proves no other owner,
// because an environment that takes an object over writes its own proof.
func (m *maker) others(l observed.Object) bool {
	if l.Environment == "" || l.Environment == m.in.Environment || m.in.Record.has(l) && l.Proved(m.in.Environment, m.in.Prover) {
		return false
	}
	return !m.in.Record.has(l) || !SameInstallation(l.Environment, m.in.Environment) || l.Proved(l.Environment, m.in.Prover)
}

// SameInstallation reports whether two environments, given by the values of their labels, belong to one installation.
func SameInstallation(environment, other string) bool {
	id, _, _ := strings.Cut(environment, ".")
	otherID, _, _ := strings.Cut(other, ".")
	return id == otherID
}

// unmarked reports whether an object that we wrote bears no proof yet.
func (m *maker) unmarked(l *observed.Object) bool { return l.Proof == "" && m.in.Prover.Proves() }

// copies warns of objects that bear our label and digest and that Berth did not make. They are users' copies, and are
// left alone.
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
		m.warnings = append(m.warnings, fmt.Sprintf("%s: has this environment's label but was not made by Berth: it is probably a copy, and is left alone; to remove the label: %s",
			live.Key, unlabel(live.Key)))
	}
}

// namedCopies is how many copies have a warning of their own.
const namedCopies = 3

// unlabel returns the command that removes the environment's label from an object.
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
