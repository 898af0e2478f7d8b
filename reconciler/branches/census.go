package branches

import (
	"fmt"
	"time"

	"berth.dev/berth/api/v1alpha1"
)

// The deletion guard blocks a deletion of more than guardCount environments and more than guardPercent of a Repository's
// environments at the same time, until a user confirms it.
const (
	guardCount   = 3
	guardPercent = 30
)

// Census counts the environments of one Repository for the deletion guard.
type Census struct {
	// standing have something to lose; leaving are being torn down.
	standing, leaving int
	// doomed are standing and have lost their branch or entry; over are due to expire.
	doomed, over int
}

// Count counts the Environments of one Repository, of which over are due to expire.
func Count(have []v1alpha1.Environment, over []*v1alpha1.Environment, now time.Time) Census {
	c := Census{over: len(over)}
	for i := range have {
		env := &have[i]
		if stuck(env, now) {
			continue
		}
		if Stands(env) {
			c.standing++
		}
		if IsLeaving(env) {
			c.leaving++
		}
	}
	return c
}

// goes is the number of environments that are deleted, without those that expire.
func (c Census) goes() int { return c.leaving + c.doomed }

// BlocksDeletions reports whether a deletion needs a confirmation. Pending expiries never block deletions.
func (c Census) BlocksDeletions() bool { return tooMany(c.goes(), c.standing) }

// BlocksExpiries reports whether an expiry needs a confirmation. Pending deletions do block expiries.
func (c Census) BlocksExpiries() bool { return tooMany(c.goes()+c.over, c.standing) }

// BlocksAll reports whether the deletion of all environments together needs a confirmation.
func (c Census) BlocksAll() bool { return tooMany(c.standing, c.standing) }

func tooMany(going, all int) bool { return going > guardCount && going*100 > guardPercent*all }

// Blocked returns the message that deletions are blocked, with the command that allows them.
func (c Census) Blocked(repository string) string { return blocked(c.goes(), c.standing, repository) }

func blocked(going, all int, repository string) string {
	return fmt.Sprintf("deletions are blocked: %d of %d environments would be deleted at once; to delete them: berth confirm --repository %s",
		going, all, repository)
}
