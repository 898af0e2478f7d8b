package fields_test

import (
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/fields"
)

func TestLines(t *testing.T) {
	const server = "server {\n  listen 8080;\n  a;\n  b;\n  c;\n  d;\n}\n"
	for _, test := range []struct {
		name     string
		old, new any
		want     []string
	}{
		{"a line in the middle", server, strings.Replace(server, "c;", "C;", 1),
			[]string{"~ p:", "      …", "        a;", "        b;", "    -   c;", "    +   C;", "        d;", "      }"}},
		{"two far from each other", "1\n2\n3\n4\n5\n6\n7\n8\n", "one\n2\n3\n4\n5\n6\n7\neight\n",
			[]string{"~ p:", "    - 1", "    + one", "      2", "      3", "      …", "      6", "      7", "    - 8", "    + eight"}},
		{"lines that are moved", "a\nb\nc\n", "b\nc\na\n", []string{"~ p:", "    - a", "      b", "      c", "    + a"}},
		{"a text that is new", nil, "a\n  b\n", []string{"+ p:", "    + a", "    +   b"}},
		{"a text that goes", "a\nb", nil, []string{"- p:", "    - a", "    - b"}},
		{"a text that gets lines", "a", "a\nb", []string{"~ p:", "      a", "    + b"}},
		{"a text that is emptied", "a\nb\n", "", []string{"~ p:", "    - a", "    - b"}},
		{"only the end of the last line", "a\nb\n", "a\nb", []string{"~ p:", "      a", "      b", "    -"}},
		{"a text that becomes a number", "a\nb", int64(1), []string{`~ p: "a\nb" -> 1`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := fields.Change{Path: "p", Old: test.old, New: test.new}.Lines()
			for i := range got {
				got[i] = strings.TrimRight(got[i], " ")
			}
			if want := test.want; !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// Texts that are too long to be compared line by line are still shown.
func TestLinesOfLongTexts(t *testing.T) {
	before, after := strings.Repeat("a\n", 3000), strings.Repeat("b\n", 3000)
	if got := (fields.Change{Path: "p", Old: "x\n" + before, New: "x\n" + after}).Lines(); len(got) != 6002 {
		t.Errorf("%d lines, want the path, the one that both have, and all others", len(got))
	}
}
