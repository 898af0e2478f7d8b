package plan

import "fmt"

// The deletion guard of an environment blocks deletions until a user confirms them. It does so for more than guardCount
// objects at once that are more than half of all objects.
const guardCount = 5

// Guard is the state of the deletion guard, which blocks deletions until a user confirms them.
type Guard struct {
	// Digest is the digest of the input that would delete too much; empty: none would.
	Digest string `json:"digest,omitempty"`
	// Objects is the reported number of objects that would be deleted. Confirmed says that a user has confirmed that.
	Objects   int  `json:"objects,omitempty"`
	Confirmed bool `json:"confirmed,omitempty"`
	// Judged is the newest confirmation that a plan has handled.
	Judged string `json:"judged,omitempty"`
}

// confirm uses up a confirmation that no plan has handled. It allows the blocked deletions that were reported, and no
// deletions of another input. If nothing is blocked, it allows nothing.
func (m *maker) confirm() {
	b := &m.record.Guard
	if b.Digest != m.in.Digest {
		*b = Guard{Judged: b.Judged}
	}
	if id := m.in.Confirmation; id != "" && id != b.Judged {
		b.Judged = id
		b.Confirmed = b.Confirmed || b.Digest != ""
	}
}

// guard returns why the deletion of n of all objects waits for a user, and records that it waits; empty if it does not.
func (m *maker) guard(n, total int) string {
	why := m.tooMuch(n, total)
	b := &m.record.Guard
	if why == "" || b.Confirmed && n <= b.Objects {
		return ""
	}
	*b = Guard{Digest: m.in.Digest, Objects: n, Judged: b.Judged}
	return why
}

// tooMuch returns why the deletion guard blocks the deletion of n of all objects; empty if it does not.
func (m *maker) tooMuch(n, total int) string {
	switch origin := m.record.Origin; {
	case n == 0 || m.in.Incomplete:
		return ""
	case m.in.Desired.Len() == 0:
		return fmt.Sprintf("Git has no manifests: %d of %d objects would be deleted; to allow it: berth confirm %s; or restore the manifests", n, total, m.in.Name)
	case origin != "" && origin != m.in.Origin:
		return fmt.Sprintf("the manifests are read from %s now, and were from %s: %d of %d objects would be deleted; to allow it: berth confirm %s; or restore url and path",
			m.in.Origin, origin, n, total, m.in.Name)
	case n > guardCount && n*2 > total:
		return fmt.Sprintf("%d of %d objects would be deleted at once; to allow it: berth confirm %s; or restore them in Git", n, total, m.in.Name)
	}
	return ""
}
