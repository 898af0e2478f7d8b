package source

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWhatIsReadOfACommit(t *testing.T) {
	const head = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
	for _, test := range []struct {
		name, data      string
		author, subject string
		time            int64
	}{
		{"an ordinary one", head + "author Ada Lovelace <a@example.com> 1600000000 +0000\ncommitter CI <ci@example.com> 1700000000 +0100\n\nAdd the login\npage\n\nMore text\n",
			"Ada Lovelace", "Add the login page", 1700000000},
		{"without a message", head + "author Ada <a@example.com> 1 +0000\ncommitter Ada <a@example.com> 1 +0000\n", "Ada", "", 1},
		{"what acts on a terminal, or hides", head + "author A\x1b[31mda\u202e <a@example.com> 1 +0000\n\nred\x1b[31m \xff\u200btext\r\n", "A[31mda", "red[31m text", 0},
		{"a long one", head + "\n" + strings.Repeat("ä", 200), "", strings.Repeat("ä", 119) + "…", 0},
	} {
		c, err := parseCommit([]byte(test.data))
		if err != nil || c.author != test.author || c.subject != test.subject {
			t.Errorf("%s: author %q, subject %q, %v; want %q, %q", test.name, c.author, c.subject, err, test.author, test.subject)
		}
		if want := time.Unix(test.time, 0); test.time != 0 && !c.time.Equal(want) {
			t.Errorf("%s: made at %v, want %v", test.name, c.time, want)
		}
	}
}

func TestTheParentsOfACommit(t *testing.T) {
	const tree = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	for text, want := range map[string][]string{
		"":                                     nil,
		"parent " + a + "\n":                   {a},
		"parent " + a + "\nparent " + b + "\n": {a, b},
		"parent " + a + "\nparent " + b + "\nparent " + a + "\n":             {a, b},
		"parent x\nauthor Ada <a@example.com> 1 +0000\n\nparent " + a + "\n": nil,
	} {
		c, err := parseCommit([]byte(tree + text))
		if err != nil || !slices.Equal(c.parents, want) {
			t.Errorf("%q: %v %v", text, c.parents, err)
		}
	}
}
