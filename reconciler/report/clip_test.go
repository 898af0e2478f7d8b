package report

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClip(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"short", "it fits", "it fits"},
		{"exact", strings.Repeat("a", 12), strings.Repeat("a", 12)},
		{"long", strings.Repeat("a", 13), strings.Repeat("a", 9) + "..."},
		{"at the edge of a character", strings.Repeat("a", 7) + "→→→", strings.Repeat("a", 7) + "..."},
		{"in a character of four bytes", strings.Repeat("a", 6) + "🚢🚢", strings.Repeat("a", 6) + "..."},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := clip(test.text, 12); got != test.want || !utf8.ValidString(got) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
