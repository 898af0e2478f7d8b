package feedback

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/fields"
	"berth.dev/berth/reconciler/proposals"
)

// The limits of the plans in a note.
const (
	maxPlan    = 16 << 10 // in bytes, of all plans
	maxNote    = 62 << 10 // of the whole note
	maxChanges = 40       // objects of one plan that are listed
	maxFields  = 6        // fields of one object
	maxValue   = 80       // bytes of a value
)

// verbs has a sign for each verb, in the order of the summary.
var verbs = []struct {
	verb proposals.Verb
	sign string
}{
	{proposals.Added, "➕"}, {proposals.Changed, "✏️"}, {proposals.Removed, "➖"}, {proposals.Kept, "📌"}, {proposals.Runs, "▶️"},
}

// plansOf returns the part of a note with the plans of a merge into a branch; empty if it changes nothing.
func plansOf(target string, plans []proposals.Plan, most int) string {
	plans = slices.DeleteFunc(slices.Clone(plans), proposals.Plan.Empty)
	if len(plans) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("**Merging this into** " + code(target, maxCell) + "\n")
	for _, p := range plans {
		if !add(&b, planLines(p), min(most, maxPlan)) {
			b.WriteString("- … and more\n")
			break
		}
	}
	return b.String()
}

// planLines returns the parts of one plan.
func planLines(p proposals.Plan) []string {
	parts := []string{"\n" + code(entryIn(p.Environment), maxCell) + ": " + summary(p) + " (planned with commit " + code(short(p.Commit), maxCell) + ")\n\n"}
	for _, problem := range p.Problems[:min(maxChanges, len(p.Problems))] {
		parts = append(parts, "- ⛔ "+code(problem, maxDetail)+"\n")
	}
	held, order := map[string]int{}, []string{}
	for i, c := range p.Changes {
		if c.Held != "" {
			if held[c.Held]++; held[c.Held] == 1 {
				order = append(order, c.Held)
			}
		}
		if i < maxChanges {
			parts = append(parts, changeLines(c))
		}
	}
	if more := len(p.Changes) + p.Rest.Count() - maxChanges; more > 0 {
		parts = append(parts, fmt.Sprintf("- … and %d more\n", more))
	}
	for _, why := range slices.Sorted(maps.Keys(p.Rest.Held)) {
		if held[why] += p.Rest.Held[why]; !slices.Contains(order, why) {
			order = append(order, why)
		}
	}
	for _, why := range order {
		parts = append(parts, fmt.Sprintf("- 🛑 waiting deletions: %d: %s\n", held[why], code(why, maxDetail)))
	}
	for _, remark := range p.Remarks {
		parts = append(parts, "- ℹ️ "+code(remark, maxDetail)+"\n")
	}
	if p.Encrypted {
		parts = append(parts, "- 🔒 encrypted values are compared as ciphertext: whether the keys of the environment decrypt them shows after the merge\n")
	}
	return parts
}

// summary counts what a plan does.
func summary(p proposals.Plan) string {
	if len(p.Problems) > 0 {
		return "**nothing would be synced**"
	}
	count, refused := map[proposals.Verb]int{}, p.Rest.Refused
	maps.Copy(count, p.Rest.Verbs)
	for _, c := range p.Changes {
		count[c.Verb]++
		if c.Refused != "" {
			refused++
		}
	}
	var words []string
	for _, v := range verbs {
		if n := count[v.verb]; n > 0 {
			words = append(words, counted(n, v.verb))
		}
	}
	text := strings.Join(words, ", ")
	if refused > 0 {
		text += fmt.Sprintf("; **%d would be refused**, so that the sync would not begin", refused)
	}
	return text
}

func counted(n int, verb proposals.Verb) string {
	switch {
	case verb != proposals.Runs:
		return fmt.Sprintf("%d %s", n, verb)
	case n == 1:
		return "1 Job runs"
	}
	return fmt.Sprintf("%d Jobs run", n)
}

// changeLines returns what happens to one object.
func changeLines(c proposals.Change) string {
	var b strings.Builder
	sign := ""
	for _, v := range verbs {
		if v.verb == c.Verb {
			sign = v.sign
		}
	}
	fmt.Fprintf(&b, "- %s %s %s", sign, c.Verb, code(c.Object, maxCell))
	if c.Origin != "" {
		b.WriteString(" (" + code(c.Origin, maxCell) + ")")
	}
	if c.Keys > 0 {
		fmt.Fprintf(&b, ": %d hidden %s", c.Keys, plural(c.Keys, "value"))
	}
	if c.Reason != "" {
		b.WriteString(": " + code(c.Reason, maxDetail))
	}
	b.WriteString("\n")
	for _, change := range c.Fields[:min(maxFields, len(c.Fields))] {
		b.WriteString("  - " + code(change.Path, maxCell) + ": " + values(change) + "\n")
	}
	if more := len(c.Fields) + c.MoreFields - maxFields; more > 0 {
		fmt.Fprintf(&b, "  - … and %d more %s\n", more, plural(more, "field"))
	}
	if c.Refused != "" {
		b.WriteString("  - ⛔ refused: " + code(c.Refused, maxDetail) + "\n")
	}
	if c.Unproved != "" {
		b.WriteString("  - not validated: " + code(c.Unproved, maxDetail) + "\n")
	}
	return b.String()
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// values returns the two values of a field, or how many lines of a text differ.
func values(c fields.Change) string {
	if lines, ok := c.New.(proposals.Lines); ok {
		return fmt.Sprintf("%d lines added, %d removed", lines.Added, lines.Removed)
	}
	return value(c.Old) + " → " + value(c.New)
}

// value returns one value on one line.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case string:
		return code(v, maxValue)
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // it stands in code
	if err := encoder.Encode(v); err != nil {
		return "?" // what was read from YAML can be written as JSON
	}
	return code(text.String(), maxValue)
}

// The texts of notes in merge requests whose branch has no environment.
const (
	planEnded   = "There is no plan of this merge request any more: it was merged or closed, or is not planned any more.\n"
	planNothing = "Merging this would change no environment.\n"
)

// conflicts is the plan of a merge request that cannot be merged.
func conflicts(target string) string {
	return "**Merging this into** " + code(target, maxCell) + "\n\nNo plan: the forge cannot merge it, such as because of conflicts.\n"
}
