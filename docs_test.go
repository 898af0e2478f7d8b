package berth_test

import (
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	codeBlock  = regexp.MustCompile("(?ms)^```.*?^```")
	codeSpan   = regexp.MustCompile("`[^`\n]*`")
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInLinks = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// Every relative link of the documentation leads to a file, and to a heading in it if it names one.
func TestLinksResolve(t *testing.T) {
	pages := map[string]string{}
	tree := os.DirFS(".")
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case path.Ext(name) == ".md":
			text, err := fs.ReadFile(tree, name)
			pages[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range pages {
		text = codeSpan.ReplaceAllString(codeBlock.ReplaceAllString(text, ""), "")
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			to, err := url.Parse(match[1])
			if err != nil || to.IsAbs() {
				continue
			}
			file := name
			if to.Path != "" {
				file = path.Join(path.Dir(name), to.Path)
			}
			if _, err := fs.Stat(tree, file); err != nil {
				t.Errorf("%s links to %s: there is no such file", name, match[1])
			} else if to.Fragment != "" && !anchors(pages[file])[to.Fragment] {
				t.Errorf("%s links to %s: %s has no such heading", name, match[1], file)
			}
		}
	}
}

// anchors returns the names by which the headings of a page are linked to.
func anchors(text string) map[string]bool {
	names := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		names[strings.ReplaceAll(notInLinks.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-")] = true
	}
	return names
}
