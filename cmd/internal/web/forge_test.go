package web

import (
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
)

func TestLinksToTheGitServer(t *testing.T) {
	commit := strings.Repeat("1a2b", 10)
	for url, want := range map[string][4]string{
		"https://gitlab.example.com/a/b.git": {"https://gitlab.example.com/a/b/commit/" + commit, "https://gitlab.example.com/a/b/-/tree/x/y%3F",
			"https://gitlab.example.com/a/b/-/merge_requests?state=all&source_branch=x%2Fy%3F", "https://gitlab.example.com/a/b/-/blob/" + commit + "/c/d%23.yaml#L3"},
		"ssh://git@github.com:22/a/b": {"https://github.com/a/b/commit/" + commit, "https://github.com/a/b/tree/x/y%3F",
			"https://github.com/a/b/pulls?q=is%3Apr+head%3Ax%2Fy%3F", "https://github.com/a/b/blob/" + commit + "/c/d%23.yaml#L3"},
		"http://gitea.local:3000/a/b/": {"http://gitea.local:3000/a/b/commit/" + commit, "http://gitea.local:3000/a/b/src/branch/x/y%3F", "",
			"http://gitea.local:3000/a/b/src/commit/" + commit + "/c/d%23.yaml#L3"},
		"https://git.example.com/a/b": {"https://git.example.com/a/b/commit/" + commit, "", "", ""},
		"file:///srv/b.git":           {"", "", "", ""},
	} {
		f := forgeOf(&v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{URL: url}})
		if got := [4]string{f.commit(commit), f.branch("x/y?"), f.requests("x/y?"), f.file(commit, "c/d#.yaml", 3)}; got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", url, got, want)
		}
	}
	for kind, want := range map[string]string{"gitlab": "https://a/-/compare/b...c", "github": "https://a/compare/b...c", "gitea": "https://a/compare/b...c", "": ""} {
		f := forge{base: "https://a", kind: kind}
		if got := f.compare("b", "c"); got != want || f.compare("b", "b")+f.compare("", "c") != "" {
			t.Errorf("%s compares at %q, want %q", kind, got, want)
		}
	}
	if got := (forge{base: "https://a"}).commit("1a2b3c4d"); got != "" {
		t.Errorf("a short commit leads to %q", got)
	}
}

func TestOnlyAddressesOfTheWebAreLinks(t *testing.T) {
	for address, want := range map[string]string{
		"https://a.example.com/b?c": "https://a.example.com/b?c", "http://a": "http://a",
		"javascript:alert(1)": "", "JavaScript:alert(1)": "", "data:text/html,a": "", "//a.example.com": "", "a": "", "": "",
		"https://user:password@a.example.com": "", "ftp://a": "", " https://a": "", "https://": "",
	} {
		if got := webAddress(address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}
