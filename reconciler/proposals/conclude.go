package proposals

import (
	"fmt"
	"strings"

	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// conclude adds to what differs in Git what the plan and the dry run say about it.
func conclude(e reconciler.Environment, d difference, next manifest.Set, found reconciler.Prospect) Plan {
	p := Plan{Environment: e.Name}
	for _, pair := range d.list {
		c := d.changeOf(pair, e.Namespace, e.DecryptedKinds)
		p.Encrypted = p.Encrypted || pair.encrypted
		if s, planned := found.Steps[pair.key]; planned && !pair.guesses() {
			c.judge(s)
		}
		switch result, tried := found.Results[pair.key]; {
		case tried && result.Err != nil:
			c.Refused = result.Err.Message
		case tried:
			c.Unproved = result.Unproved
		case pair.now == nil:
		case pair.encrypted:
			c.Unproved = "it is encrypted, and the plan does not decrypt it"
		case manifest.Kinds(e.DecryptedKinds).MayHoldSecrets(pair.key.GroupKind()):
			c.Unproved = "it may hold secrets, which the answer could tell"
		}
		if pair.guesses() && manifest.IsJob(pair.key.GroupKind()) {
			c.Verb = Runs
		}
		p.Changes = append(p.Changes, c)
	}
	if len(p.Changes) > 0 {
		p.Changes = append(p.Changes, recurring(e, d, next)...)
	}
	return p
}

// judge adds what the plan of a sync says about the object.
func (c *Change) judge(s plan.Step) {
	if s.Failure != "" {
		c.Refused = c.Origin + ": " + s.Key.String() + ": " + strings.TrimPrefix(s.Failure, s.Key.String()+": ")
	}
	job := manifest.IsJob(s.Key.GroupKind())
	switch {
	case c.Verb == Removed && s.Action == plan.Keep:
		c.Verb, c.Reason = Kept, strings.TrimPrefix(s.Reason, "is no longer in Git, and kept: ")
	case c.Verb == Removed && s.Obstructed():
		c.Held = s.Blocked
	case job && (s.Action == plan.Create || s.Action == plan.Replace):
		c.Verb = Runs
	case s.Action == plan.Prepare:
		c.Reason = "runs when the environment is torn down"
	case s.Action == plan.Replace:
		c.Reason = "is deleted and created again"
	}
}

// recurring returns the Jobs that run with every commit, whatever it changes.
func recurring(e reconciler.Environment, d difference, next manifest.Set) (jobs []Change) {
	for _, o := range next.Objects {
		if o.GetAnnotations()[manifest.AnnotationJob] == "every-commit" && manifest.IsJob(o.Key().GroupKind()) && !d.changed[o.Key()] {
			c := d.changeOf(pair{key: o.Key(), now: &o}, e.Namespace, e.DecryptedKinds)
			c.Verb, c.Reason = Runs, "it runs with every commit"
			jobs = append(jobs, c)
		}
	}
	return jobs
}

// counted returns a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
