// Package output prints for users and for scripts.
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

// gap is the space between the columns of a table.
const gap = 3

// Table writes aligned rows. Rows that are added later stay aligned, because a column never gets narrower. The last
// column is not padded, because it has the long texts.
type Table struct {
	w      io.Writer
	widths []int
}

// NewTable returns a table that writes to w. Its first columns have at least the widths, if there are any.
func NewTable(w io.Writer, widths ...int) *Table { return &Table{w: w, widths: widths} }

// Write prints rows in the same columns. An empty cell is printed as <none>, or as nothing at the end of a row.
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

// cells returns the texts of a row as they are printed.
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

// Plain returns an untrusted text as one line, without characters that control a terminal.
func Plain(text string) string {
	return strings.TrimSpace(strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(Visible(text)))
}

// Line returns an untrusted line with its indentation, without characters that control a terminal.
func Line(text string) string {
	return strings.TrimRight(strings.NewReplacer("\n", " ", "\r", "?").Replace(Visible(text)), " ")
}

// Visible replaces the characters that control a terminal or a page: escape sequences, and those that change the writing
// direction. It keeps line breaks and tabs.
func Visible(text string) string {
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

// Age returns the time since then, as kubectl writes it; empty for never.
func Age(then, now time.Time) string {
	if then.IsZero() {
		return ""
	}
	return duration.HumanDuration(max(0, now.Sub(then)))
}

// ShortCommit returns a commit id as it is shown to users.
func ShortCommit(commit string) string { return commit[:min(len(commit), 8)] }

// Count returns a number with its noun: "1 file", "2 files".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
