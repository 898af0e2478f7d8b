package berth_test

import (
	"cmp"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	codeBlock  = regexp.MustCompile("(?ms)^```.*?^```")
	codeSpan   = regexp.MustCompile("`[^`\n]*`")
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
	row        = regexp.MustCompile(`(?m)^\| (.*) \|[^|]*\|$`)
	differs    = regexp.MustCompile(`…|^cannot |\b[A-Z]+\b|\w*[0-9]+|[/"%:;,()\[\]]+`)
	testName   = regexp.MustCompile("`(Test[A-Z]\\w+)`")
	joined     = regexp.MustCompile(`"\s*\+\s*"`)
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

// othersWords are texts that no file of ours holds: the API server, Git and Kustomize say so.
var othersWords = []string{"unable to parse quantity's suffix", "the accumulated size increase of copy is", "leader election lost"}

// Every text that the documentation tells people to look for is one that Berth says, or that a test has seen: of
// each, the longest part between what differs stands in a source file.
func TestTroubleshootingSpeaksOfWhatIsSaid(t *testing.T) {
	said := sources(t)
	page, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, messages, _ := strings.Cut(string(page), "\n## Git and the Repository\n")
	messages, _, _ = strings.Cut(messages, "\n## Coming from kubectl")
	looked := 0
	for _, match := range row.FindAllStringSubmatch(strings.ReplaceAll(messages, `\|`, " "), -1) {
		for _, span := range codeSpan.FindAllString(match[1], -1) {
			part := strings.TrimSpace(longest(strings.Trim(span, "`")))
			if len(strings.Fields(part)) < 3 || strings.HasPrefix(part, "kubectl ") || slices.Contains(othersWords, part) {
				continue // a name, a command, or a message of a library
			}
			if looked++; !strings.Contains(said, part) {
				t.Errorf("nothing says %q, of %s", part, span)
			}
		}
	}
	if looked < 100 {
		t.Errorf("looked for %d texts only", looked)
	}
}

// Every test that docs/security.md, docs/advisories.md and the decisions name must exist, so that all listed attacks are tested.
func TestAttemptsAreTested(t *testing.T) {
	said := sources(t)
	pages, err := filepath.Glob("docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var named [][]string
	for _, page := range append(pages, "docs/security.md", "docs/advisories.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		named = append(named, testName.FindAllStringSubmatch(string(text), -1)...)
	}
	for _, match := range named {
		if !strings.Contains(said, "func "+match[1]+"(t *testing.T)") {
			t.Errorf("there is no test %s", match[1])
		}
	}
	if len(named) < 45 {
		t.Errorf("%d tests are named only", len(named))
	}
}

// longest returns the longest constant part of a message.
func longest(message string) string {
	return slices.MaxFunc(differs.Split(message, -1), func(a, b string) int { return cmp.Compare(len(a), len(b)) })
}

// sources returns the text of all source files, with concatenated literals joined.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	tree := os.DirFS(".")
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || name == "docs_test.go":
			return err
		case entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case !slices.Contains([]string{".go", ".yaml", ".txtar"}, path.Ext(name)):
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		all.WriteString(strings.Join(strings.Fields(joined.ReplaceAllString(string(text), "")), " "))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(all.String(), `\"`, `"`)
}
