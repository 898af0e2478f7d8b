package feedback

import (
	"cmp"
	"maps"
	"slices"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// known returns what is known of the note in a merge request.
func (l *line) known(name string, number int64) note {
	if b := l.branches[name]; b != nil {
		if n, ok := b.notes[number]; ok {
			return n
		}
	}
	return l.held[number].note
}

// heldNote is a note in a merge request whose branch has no environment, and the Environment whose status keeps it.
type heldNote struct {
	note
	by string
}

// recallPlans reads the notes that the status of an Environment keeps for branches without one.
func (l *line) recallPlans(env *v1alpha1.Environment) {
	if env.Status.Feedback == nil || env.Status.Feedback.Project != l.project {
		return
	}
	for _, n := range env.Status.Feedback.Plans {
		l.held[n.MergeRequest] = heldNote{note{id: n.ID, digest: n.Digest, plan: n.Plan}, env.Name}
	}
}

// hold keeps the note in a merge request whose branch has no environment, for the status of an Environment that it would change.
func (l *line) hold(number int64, n note, targets []target) {
	by := l.held[number].by
	if len(targets) > 0 {
		by = targets[0].subject.Environment
	}
	if by != "" {
		l.held[number] = heldNote{n, by}
	}
}

// heldBy returns the notes that the status of an Environment keeps, those of the newest merge requests.
func (l *line) heldBy(env string) (list []v1alpha1.MergeRequestNote) {
	for number, h := range l.held {
		if h.by == env {
			list = append(list, v1alpha1.MergeRequestNote{MergeRequest: number, ID: h.id, Digest: h.digest, Plan: h.plan})
		}
	}
	slices.SortFunc(list, func(a, b v1alpha1.MergeRequestNote) int { return cmp.Compare(a.MergeRequest, b.MergeRequest) })
	return list[max(0, len(list)-maxHeld):]
}

// holders returns the branches of the Environments that keep other notes than before, for branches without one.
func (l *line) holders(before map[int64]heldNote, envs map[string][]*v1alpha1.Environment) (names []string) {
	changed := map[string]bool{}
	for number := range merged(before, l.held) {
		if was, is := before[number], l.held[number]; was != is {
			changed[was.by], changed[is.by] = true, true
		}
	}
	for name, of := range envs {
		for _, env := range of {
			if changed[env.Name] {
				l.branch(name, of)
				names = append(names, name)
			}
		}
	}
	return names
}

func merged(a, b map[int64]heldNote) map[int64]heldNote {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// adopt makes branches of the notes whose merge requests are not open any more, so that the plans in them end.
func (l *line) adopt() {
	for number, h := range l.held {
		if l.merges[number] == nil && !slices.ContainsFunc(l.branchList(), func(b *branch) bool { _, has := b.notes[number]; return has }) {
			name := branchOf(forge.MergeRequest{Number: number, Fork: true})
			l.branches[name] = &branch{name: name, told: map[string]v1alpha1.EnvironmentFeedback{}, notes: map[int64]note{number: h.note}}
		}
	}
}

func (l *line) branchList() (list []*branch) {
	for _, b := range l.branches {
		list = append(list, b)
	}
	return list
}
