package plan

import (
	"fmt"
	"slices"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// How many runs are remembered: per Job, and in total.
const (
	ranOfOne = 8
	ranOfAll = 64
)

// Run is a run of a Job that succeeded.
type Run struct {
	Job    manifest.Key `json:"job"`
	Digest string       `json:"digest"`
}

// ran records a run that succeeded, and forgets the oldest runs if there are too many.
func (r *Record) ran(job manifest.Key, digest string) {
	run := Run{Job: job, Digest: digest}
	r.Ran = append(slices.DeleteFunc(r.Ran, func(o Run) bool { return o == run }), run)
	ofOne := 0
	for i := len(r.Ran) - 1; i >= 0; i-- {
		if r.Ran[i].Job != job {
			continue
		}
		if ofOne++; ofOne > ranOfOne {
			r.Ran = slices.Delete(r.Ran, i, i+1)
		}
	}
	r.Ran = r.Ran[max(0, len(r.Ran)-ranOfAll):]
}

// digestsOf returns the digests with which a Job has succeeded.
func (r *Record) digestsOf(job manifest.Key) (digests []string) {
	for _, run := range r.Ran {
		if run.Job == job {
			digests = append(digests, run.Digest)
		}
	}
	return digests
}

// follow records how the attempt came about: whether a user pinned the commit, or whether the pin is removed and the
// branch has not moved since. Only a new commit of the branch, such as a revert, makes Jobs run.
func (m *maker) follow(before Sync, now *Sync) {
	if m.in.Past {
		now.Pinned = before.Pinned
		return
	}
	now.Pinned = m.in.Pinned
	now.Returned = m.in.Pinned || before.Pinned && m.in.Digest == m.record.Head
	if !m.in.Pinned {
		m.record.Head = m.in.Digest
	}
}

// hasRunBefore reports whether the environment runs a commit again, and the Job ran before with the content that it has
// there.
func (m *maker) hasRunBefore(s *Step, newest JobRecord) bool {
	if m.in.Past {
		return newest.Digest != s.Object.Digest
	}
	return m.record.Sync.Returned && newest.Digest != s.Object.Digest && slices.Contains(m.record.digestsOf(s.Key), s.Object.Digest)
}

// stays leaves a Job alone that ran before with the desired content. It waits for a running Job of another commit.
func (m *maker) stays(s *Step) {
	s.Reason, s.Health = "does not run again for an earlier commit", health.Health{Status: health.Healthy}
	if m.in.Past {
		return
	}
	s.Reason = "has run before with this content, and runs again only for a new commit"
	if s.Live != nil && m.ours(*s.Live) && s.Live.Runs() {
		s.block(forOthers, fmt.Sprintf("waits for the running %s of another commit to finish", s.Key.Kind))
		s.Health = health.Health{Status: health.Progressing, Message: s.Blocked}
	}
}
