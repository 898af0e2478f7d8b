package web

import (
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
)

func TestLinksToTheGitServer(t *testing.T) {
	commit := strings.Repeat("1a2b", 10)
	const (
		gitlab = " branch .../-/tree/x/y%3F merge requests .../-/merge_requests?state=all&source_branch=x%2Fy%3F"
		gitea  = " branch .../src/branch/x/y%3F"
	)
	for name, test := range map[string]struct {
		url      string
		feedback *v1alpha1.Feedback
		base     string // of all links
		places   string
		file     string
	}{
		"GitLab":                     {"https://gitlab.example.com/a/b.git", nil, "https://gitlab.example.com/a/b", gitlab, "/-/blob/"},
		"GitHub by SSH":              {"ssh://git@github.com:22/a/b", nil, "https://github.com/a/b", " branch .../tree/x/y%3F merge requests .../pulls?q=is%3Apr+head%3Ax%2Fy%3F", "/blob/"},
		"Gitea":                      {"http://gitea.local:3000/a/b/", nil, "http://gitea.local:3000/a/b", gitea, "/src/commit/"},
		"a server of another name":   {"https://git.example.com/a/b", nil, "https://git.example.com/a/b", "", ""},
		"no server":                  {"file:///srv/b.git", nil, "", "", ""},
		"a provider":                 {"https://git.example.com/a/b", &v1alpha1.Feedback{Provider: v1alpha1.ForgeGitLab}, "https://git.example.com/a/b", gitlab, "/-/blob/"},
		"a provider beats the name":  {"https://gitlab.example.com/a/b", &v1alpha1.Feedback{Provider: v1alpha1.ForgeGitea}, "https://gitlab.example.com/a/b", gitea, "/src/commit/"},
		"an address":                 {"ssh://git@ssh.example.com/a/b", &v1alpha1.Feedback{URL: "https://gitlab.example.com:8443/"}, "https://gitlab.example.com:8443/a/b", gitlab, "/-/blob/"},
		"an address below a path":    {"https://example.com/gitlab/a/b.git", &v1alpha1.Feedback{Provider: v1alpha1.ForgeGitLab, URL: "https://example.com/gitlab"}, "https://example.com/gitlab/a/b", gitlab, "/-/blob/"},
		"an address that is no link": {"https://git.example.com/a/b", &v1alpha1.Feedback{URL: "javascript:evil()"}, "https://git.example.com/a/b", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := pagesOf(&v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{URL: test.url, Feedback: test.feedback}})
			env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Branch: "x/y?"}}
			var places strings.Builder
			for _, place := range p.places(env) {
				places.WriteString(" " + place.Title + " " + strings.Replace(place.Address, test.base, "...", 1))
			}
			if places.String() != test.places {
				t.Errorf("the places are%s, want%s", places.String(), test.places)
			}
			inCommit, inFile := "", ""
			if test.base != "" {
				inCommit = test.base + "/commit/" + commit
			}
			if test.file != "" {
				inFile = test.base + test.file + commit + "/c/d%23.yaml#L3"
			}
			if got := p.commit(commit); got != inCommit || p.commit("1a2b3c4d") != "" {
				t.Errorf("the commit is %s, want %s", got, inCommit)
			}
			if got := p.file(commit, "c/d#.yaml", 3); got != inFile {
				t.Errorf("the file is %s, want %s", got, inFile)
			}
		})
	}
	for provider, want := range map[v1alpha1.ForgeProvider]string{"GitLab": "https://a/-/compare/b...c", "GitHub": "https://a/compare/b...c", "Gitea": "https://a/compare/b...c", "": ""} {
		p := pages{base: "https://a", paths: pathsOf[provider]}
		if got := p.compare("b", "c"); got != want || p.compare("b", "b")+p.compare("", "c") != "" {
			t.Errorf("%s compares at %q, want %q", provider, got, want)
		}
	}
}

func TestMergeRequestsWithANoteAreLinks(t *testing.T) {
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Branch: "x"}}
	env.Status.Feedback = &v1alpha1.EnvironmentFeedback{Notes: []v1alpha1.MergeRequestNote{{MergeRequest: 12}, {MergeRequest: 14}}}
	for provider, want := range map[v1alpha1.ForgeProvider]string{"GitLab": "/-/merge_requests/", "GitHub": "/pull/", "Gitea": "/pulls/"} {
		repo := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{URL: "https://git.example.com/a/b", Feedback: &v1alpha1.Feedback{Provider: provider}}}
		got, at := pagesOf(repo).places(env), "https://git.example.com/a/b"+want
		if len(got) != 3 || got[1] != (place{"merge request 12", at + "12"}) || got[2] != (place{"merge request 14", at + "14"}) {
			t.Errorf("%s: the places are %v", provider, got)
		}
		repo.Spec.Feedback = nil // the numbers may be those of another project
		if places := pagesOf(repo).places(env); len(places) != 0 {
			t.Errorf("without notes, the places are %v", places)
		}
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
