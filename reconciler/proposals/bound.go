package proposals

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/fields"
)

// The limits of what a plan keeps. The author of a merge request decides how many objects, fields and bytes differ, and plans
// are kept as long as merge requests are open.
const (
	maxListed  = 50 // changes and problems
	maxFields  = 6  // of one object
	maxName    = 256
	maxValue   = 256
	maxMessage = 1 << 10
)

// Lines is the new value of a field whose text has several lines: how many of them differ. The old value is then nil.
type Lines struct{ Added, Removed int }

// Rest counts the changes of a plan that it does not list.
type Rest struct {
	Verbs map[Verb]int
	// Refused counts those that the cluster would refuse, and Held those that wait, by what they wait for.
	Refused int
	Held    map[string]int
}

// Count returns the number of changes.
func (r Rest) Count() (n int) {
	for _, of := range r.Verbs {
		n += of
	}
	return n
}

// bounded returns a plan with only what is shown. It keeps nothing of the renders in memory.
func (p Plan) bounded() Plan {
	p.Problems, p.Remarks = messages(p.Problems), messages(p.Remarks)
	all := p.Changes
	p.Changes = make([]Change, 0, min(maxListed, len(all)))
	for _, c := range all {
		held := clip(c.Held, maxMessage)
		if len(p.Changes) < maxListed {
			p.Changes = append(p.Changes, c.bounded())
			continue
		}
		if p.Rest.Verbs == nil {
			p.Rest = Rest{Verbs: map[Verb]int{}, Held: map[string]int{}}
		}
		p.Rest.Verbs[c.Verb]++
		if c.Refused != "" {
			p.Rest.Refused++
		}
		if held != "" && (p.Rest.Held[held] > 0 || len(p.Rest.Held) < maxListed) {
			p.Rest.Held[held]++
		}
	}
	return p
}

func (c Change) bounded() Change {
	c.Object, c.Origin = clip(c.Object, maxName), clip(c.Origin, maxName)
	c.Reason, c.Held, c.Refused, c.Unproved = clip(c.Reason, maxMessage), clip(c.Held, maxMessage), clip(c.Refused, maxMessage), clip(c.Unproved, maxMessage)
	all := c.Fields
	c.Fields = nil
	for _, f := range all[:min(maxFields, len(all))] {
		c.Fields = append(c.Fields, short(f))
	}
	c.MoreFields += len(all) - len(c.Fields)
	return c
}

// short returns a field without more of its values than is shown.
func short(f fields.Change) fields.Change {
	before, oldIsText := f.Old.(string)
	now, newIsText := f.New.(string)
	path := clip(f.Path, maxName)
	if (oldIsText || f.Old == nil) && (newIsText || f.New == nil) && strings.Contains(before+now, "\n") {
		added, removed := f.Count()
		return fields.Change{Path: path, New: Lines{Added: added, Removed: removed}}
	}
	return fields.Change{Path: path, Old: value(f.Old), New: value(f.New)}
}

// value returns a value that is short, or the beginning of its text.
func value(v any) any {
	switch v := v.(type) {
	case nil, bool, int64, float64:
		return v
	case string:
		return clip(v, maxValue)
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // it is not shown as HTML
	if err := encoder.Encode(v); err != nil {
		return fmt.Sprintf("%T", v) // what was read from YAML can be written as JSON
	}
	return clip(strings.TrimSuffix(text.String(), "\n"), maxValue)
}

func messages(all []string) []string {
	kept := slices.Clone(all[:min(maxListed, len(all))])
	for i := range kept {
		kept[i] = clip(kept[i], maxMessage)
	}
	return kept
}

// clip returns a copy of the beginning of a text. A part of it would keep the whole in memory.
func clip(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.Clone(text)
}
