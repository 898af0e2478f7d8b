// Package output prints for people and for scripts.
package output

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/duration"
)

// gap stands between the columns of a table.
const gap = 3

// Table writes aligned rows, and goes on aligned when rows are added later: a column never gets narrower again. The last
// column is not padded, since it is the one with long texts.
type Table struct {
	w      io.Writer
	widths []int
}

// NewTable returns a table that writes to w. Its first columns have at least the widths, if there are any.
func NewTable(w io.Writer, widths ...int) *Table { return &Table{w: w, widths: widths} }

// Write prints rows, all in the same columns. An empty cell is shown as <none>, but at the end of a row as nothing.
func (t *Table) Write(rows ...[]string) error {
	shown := make([][]string, len(rows))
	for n, row := range rows {
		shown[n] = cells(row)
		for i, cell := range shown[n][:max(0, len(row)-1)] {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for _, row := range shown {
		line := ""
		for i, cell := range row {
			line += cell
			if i < len(row)-1 {
				line += strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)+gap)
			}
		}
		text.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(t.w, text.String())
	return err
}

// cells are the texts of a row as they are shown.
func cells(row []string) []string {
	shown := make([]string, len(row))
	for i, cell := range row {
		shown[i] = Plain(cell)
		if shown[i] == "" && i < len(row)-1 {
			shown[i] = "<none>"
		}
	}
	return shown
}

// Plain makes one line of a text that others wrote, without what could play tricks with a terminal.
func Plain(text string) string {
	return strings.TrimSpace(strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(visible(text)))
}

// Line is a line of a text that others wrote, as it is indented, without what could play tricks with a terminal.
func Line(text string) string {
	return strings.TrimRight(strings.NewReplacer("\n", " ", "\r", "?").Replace(visible(text)), " ")
}

// visible takes out the characters that act on a terminal: escape sequences, and those that turn the direction of
// writing.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\r':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == utf8.RuneError:
			return '?'
		}
		return r
	}, text)
}

// Age is how long ago something was, as kubectl writes it; empty for never.
func Age(then, now time.Time) string {
	if then.IsZero() {
		return ""
	}
	return duration.HumanDuration(max(0, now.Sub(then)))
}

// ShortCommit is what people are shown of a commit id.
func ShortCommit(commit string) string { return commit[:min(len(commit), 8)] }

// Count writes a number of things: "1 file", "2 files".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
