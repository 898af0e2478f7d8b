package fields

import (
	"encoding/json"
	"fmt"
	"strings"
)

// around is how many unchanged lines are shown before and after changed ones.
const around = 2

// maxPairs limits the memory for two texts. Beyond it, only their common beginnings and ends are compared line by
// line.
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
// lines.
func differing(before, after string) []string {
	if strings.HasSuffix(before, "\n") == strings.HasSuffix(after, "\n") || before == "" || after == "" {
		before, after = strings.TrimSuffix(before, "\n"), strings.TrimSuffix(after, "\n")
	}
	was, is := linesOf(before), linesOf(after)
	head := 0
	for head < min(len(was), len(is)) && was[head] == is[head] {
		head++
	}
	tail := 0
	for tail < min(len(was), len(is))-head && was[len(was)-1-tail] == is[len(is)-1-tail] {
		tail++
	}
	marked := marks(" ", was[:head])
	marked = append(marked, between(was[head:len(was)-tail], is[head:len(is)-tail])...)
	return near(append(marked, marks(" ", was[len(was)-tail:])...))
}

func linesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func marks(mark string, lines []string) []string {
	marked := make([]string, 0, len(lines))
	for _, line := range lines {
		marked = append(marked, mark+" "+line)
	}
	return marked
}

// between compares lines by their longest common subsequence.
func between(was, is []string) []string {
	if len(was)*len(is) > maxPairs {
		return append(marks("-", was), marks("+", is)...)
	}
	shared := make([][]int32, len(was)+1) // the length of that sequence for was[i:] and is[j:]
	for i := range shared {
		shared[i] = make([]int32, len(is)+1)
	}
	for i := len(was) - 1; i >= 0; i-- {
		for j := len(is) - 1; j >= 0; j-- {
			shared[i][j] = max(shared[i+1][j], shared[i][j+1])
			if was[i] == is[j] {
				shared[i][j] = shared[i+1][j+1] + 1
			}
		}
	}
	var marked []string
	for i, j := 0, 0; i < len(was) || j < len(is); {
		switch {
		case i < len(was) && j < len(is) && was[i] == is[j]:
			marked = append(marked, "  "+was[i])
			i, j = i+1, j+1
		case j == len(is) || i < len(was) && shared[i+1][j] >= shared[i][j+1]:
			marked = append(marked, "- "+was[i])
			i++
		default:
			marked = append(marked, "+ "+is[j])
			j++
		}
	}
	return marked
}

// near omits the lines that are far from any difference.
func near(marked []string) []string {
	shown := make([]bool, len(marked))
	for i, line := range marked {
		if line[0] == ' ' {
			continue
		}
		for k := max(0, i-around); k < min(len(marked), i+around+1); k++ {
			shown[k] = true
		}
	}
	var lines []string
	for i, line := range marked {
		switch {
		case shown[i]:
			lines = append(lines, "    "+line)
		case i == 0 || shown[i-1]:
			lines = append(lines, "      …")
		}
	}
	return lines
}
