package repositories

import (
	"time"

	"berth.dev/berth/source"
)

// A listing that exceeds its limits costs the whole limit each time, and rarely shrinks from one poll to the next. It is
// retried after firstSpare, then with doubled delays.
const (
	firstSpare = 10 * time.Second
	mostSpare  = 5 * time.Minute
)

// spare tracks how long polls skip the whole listing of a repository. Branches that entries name are still listed, unless
// that answer exceeds the limits as well.
type spare struct {
	pause    time.Duration
	until    time.Time
	literals bool // whether the literal branches can be listed
}

// saves reports whether a poll skips the whole listing.
func (s spare) saves(now time.Time) bool { return now.Before(s.until) }

// after returns the next state from the errors of the last whole listing and of the listing of literal branches.
func (s spare) after(whole, literals error, now time.Time) spare {
	if source.ReasonOf(whole) != source.TooLarge {
		return spare{}
	}
	pause := min(max(2*s.pause, firstSpare), mostSpare)
	return spare{pause: pause, until: now.Add(pause), literals: source.ReasonOf(literals) != source.TooLarge}
}
