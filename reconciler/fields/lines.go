package fields

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
)

// around is how many unchanged lines are shown before and after changed ones.
const around = 2

// maxPairs limits the time for two texts: the matcher's grows with the product of their lengths. Beyond it, only their
// common beginnings and ends are compared line by line.
const maxPairs = 4_000_000

// Lines returns the printed lines of a change: a single line, or the differing lines of a text with some context.
func (c Change) Lines() []string {
	before, oldIsText := c.Old.(string)
	after, newIsText := c.New.(string)
	isText := (oldIsText || c.Old == nil) && (newIsText || c.New == nil)
	switch mark := c.mark(); {
	case isText && strings.Contains(before+after, "\n"):
		return append([]string{mark + " " + c.Path + ":"}, differing(before, after)...)
	case mark == "+":
		return []string{"+ " + c.Path + ": " + text(c.New)}
	case mark == "-":
		return []string{"- " + c.Path + ": " + text(c.Old)}
	}
	return []string{fmt.Sprintf("~ %s: %s -> %s", c.Path, text(c.Old), text(c.New))}
}

func (c Change) mark() string {
	switch {
	case c.Old == nil:
		return "+"
	case c.New == nil:
		return "-"
	}
	return "~"
}

// text returns the printed form of a value. It quotes strings that look like numbers or contain spaces or newlines.
func text(value any) string {
	s, ok := value.(string)
	if !ok {
		written, err := json.Marshal(value)
		if err != nil {
			return fmt.Sprint(value)
		}
		return string(written)
	}
	if s == "" || strings.ContainsAny(s, " \t\n\r\"") || !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// differing marks the lines of two texts: "-" for those of the first, "+" for those of the second, none for common
// lines. It omits lines that are far from any difference.
func differing(before, after string) []string {
	was, is := split(before, after)
	var lines []string
	end := 0 // the index in was after the last line that is shown
	for _, group := range groups(was, is) {
		if group[0].I1 > end {
			lines = append(lines, omitted)
		}
		for _, op := range group {
			if op.Tag == 'e' {
				lines = append(lines, marks(" ", was[op.I1:op.I2])...)
			} else {
				lines = append(lines, marks("-", was[op.I1:op.I2])...)
				lines = append(lines, marks("+", is[op.J1:op.J2])...)
			}
			end = op.I2
		}
	}
	if end < len(was) {
		lines = append(lines, omitted)
	}
	return lines
}

// Count returns how many lines of a text were added and removed.
func (c Change) Count() (added, removed int) {
	before, _ := c.Old.(string)
	after, _ := c.New.(string)
	for _, group := range groups(split(before, after)) {
		for _, op := range group {
			if op.Tag != 'e' {
				added, removed = added+op.J2-op.J1, removed+op.I2-op.I1
			}
		}
	}
	return added, removed
}

// split returns the lines of two texts. Their last line feed counts only if one of them lacks it.
func split(before, after string) (was, is []string) {
	if strings.HasSuffix(before, "\n") == strings.HasSuffix(after, "\n") || before == "" || after == "" {
		before, after = strings.TrimSuffix(before, "\n"), strings.TrimSuffix(after, "\n")
	}
	return linesOf(before), linesOf(after)
}

// omitted stands for lines that are not shown.
const omitted = "      …"

// groups returns what differs between two texts, each difference with its context.
func groups(was, is []string) [][]difflib.OpCode {
	head := 0
	for head < min(len(was), len(is)) && was[head] == is[head] {
		head++
	}
	tail := 0
	for tail < min(len(was), len(is))-head && was[len(was)-1-tail] == is[len(is)-1-tail] {
		tail++
	}
	oldEnd, newEnd := len(was)-tail, len(is)-tail
	if (oldEnd-head)*(newEnd-head) <= maxPairs {
		return difflib.NewMatcher(was, is).GetGroupedOpCodes(around)
	}
	return [][]difflib.OpCode{{
		{Tag: 'e', I1: max(0, head-around), I2: head},
		{Tag: 'r', I1: head, I2: oldEnd, J1: head, J2: newEnd},
		{Tag: 'e', I1: oldEnd, I2: min(len(was), oldEnd+around)},
	}}
}

func linesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// marks returns lines as they are printed, with a mark before each.
func marks(mark string, lines []string) []string {
	marked := make([]string, 0, len(lines))
	for _, line := range lines {
		marked = append(marked, "    "+mark+" "+line)
	}
	return marked
}
