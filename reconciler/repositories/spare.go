package repositories

import (
	"time"

	"berth.dev/berth/source"
)

// A listing that is too large costs its whole limit each time, and rarely gets smaller from one poll to the next. It is
// repeated after firstSpare, and then twice as long each time.
const (
	firstSpare = 10 * time.Second
	mostSpare  = 5 * time.Minute
)

// spare says how long polls do without the whole listing of a repository. Branches that entries name are still asked for,
// unless the server's answer to that is too large as well.
type spare struct {
	pause    time.Duration
	until    time.Time
	literals bool // whether those can be listed
}

// saves says whether a poll does without the whole listing.
func (s spare) saves(now time.Time) bool { return now.Before(s.until) }

// after returns what follows from the last whole listing, and from that of the branches that entries name.
func (s spare) after(whole, literals error, now time.Time) spare {
	if source.ReasonOf(whole) != source.TooLarge {
		return spare{}
	}
	pause := min(max(2*s.pause, firstSpare), mostSpare)
	return spare{pause: pause, until: now.Add(pause), literals: source.ReasonOf(literals) != source.TooLarge}
}
