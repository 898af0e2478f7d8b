package plan

import "fmt"

// The brake of an environment: more than brakeCount objects and more than half of all that it has are
// deleted at once only after a user confirmed it.
const brakeCount = 5

// Brake holds deletions until a person confirms them.
type Brake struct {
	// Digest is that of the input that would delete so much; empty: none does.
	Digest string `json:"digest,omitempty"`
	// Objects is how many would be deleted, as people are told, and Confirmed says that they may be.
	Objects   int  `json:"objects,omitempty"`
	Confirmed bool `json:"confirmed,omitempty"`
	// Judged is the newest confirmation that a plan has seen.
	Judged string `json:"judged,omitempty"`
}

// confirm uses up a confirmation that no plan has seen: it lets go what is held, as people were told, and nothing
// that another input deletes. Where nothing is held, it lets go nothing.
func (m *maker) confirm() {
	b := &m.record.Brake
	if b.Digest != m.in.Digest {
		*b = Brake{Judged: b.Judged}
	}
	if id := m.in.Confirmation; id != "" && id != b.Judged {
		b.Judged = id
		b.Confirmed = b.Confirmed || b.Digest != ""
	}
}

// brake says why deleting n of all objects waits for a person, and notes that it does; empty if it does not.
func (m *maker) brake(n, total int) string {
	why := m.tooMuch(n, total)
	b := &m.record.Brake
	if why == "" || b.Confirmed && n <= b.Objects {
		return ""
	}
	*b = Brake{Digest: m.in.Digest, Objects: n, Judged: b.Judged}
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
	case n > brakeCount && n*2 > total:
		return fmt.Sprintf("%d of %d objects would be deleted at once; to allow it: berth confirm %s; or restore them in Git", n, total, m.in.Name)
	}
	return ""
}
