package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"berth.dev/berth/reconciler/manifest"
)

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
	// Names identifies these objects, as Names returns it.
	Names string `json:"names,omitempty"`
	// Judged is the newest confirmation that a plan has handled.
	Judged string `json:"judged,omitempty"`
}

// Names returns what identifies objects whose deletion is blocked. A confirmation that ends with "@" and this text counts for
// these objects only.
func Names(keys []manifest.Key) string {
	var all strings.Builder
	for _, key := range keys {
		text, _ := key.MarshalText() // which never fails
		all.Write(append(text, '\n'))
	}
	sum := sha256.Sum256([]byte(all.String()))
	return hex.EncodeToString(sum[:namesLength/2])
}

// namesLength is the length of what Names returns.
const namesLength = 20

// limitOf returns what Names returned for the objects that a confirmation is limited to; empty: it is not limited. Users may write
// any value, such as an address of mail, whose "@" means nothing.
func limitOf(confirmation string) string {
	if _, after, found := strings.Cut(confirmation, "@"); found && len(after) == namesLength {
		return after
	}
	return ""
}

// confirm uses up a confirmation that no plan has handled. It allows the blocked deletions that were reported, and no
// deletions of another input, or of other objects than it names. If nothing is blocked, it allows nothing.
func (m *maker) confirm() {
	b := &m.record.Guard
	if b.Digest != m.in.Digest {
		*b = Guard{Judged: b.Judged}
	}
	if id := m.in.Confirmation; id != "" && id != b.Judged {
		b.Judged = id
		limit := limitOf(id)
		b.Confirmed = b.Confirmed || b.Digest != "" && (limit == "" || limit == b.Names)
	}
}

// guard returns why the deletion of some of all objects waits for a user, and records that it waits; empty if it does not.
func (m *maker) guard(going []manifest.Key, total int) string {
	n := len(going)
	why := m.tooMuch(n, total)
	b := &m.record.Guard
	if why == "" || b.Confirmed && n <= b.Objects {
		return ""
	}
	*b = Guard{Digest: m.in.Digest, Objects: n, Names: Names(going), Judged: b.Judged}
	m.guarded = going
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
