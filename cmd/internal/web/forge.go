package web

import (
	"net/url"
	"strconv"
	"strings"

	"berth.dev/berth/api/v1alpha1"
)

// forge makes links to the Git server's own pages. The zero value makes none.
type forge struct {
	base string
	kind string
}

// forgeOf guesses the pages from a Repository's URL. GitLab, GitHub and Gitea show a commit below the same path; where
// a file is depends on the host's name.
func forgeOf(repo *v1alpha1.Repository) forge {
	if repo == nil {
		return forge{}
	}
	u, err := url.Parse(repo.Spec.URL)
	if err != nil || u.Host == "" {
		return forge{}
	}
	f := forge{base: "https://" + u.Host}
	switch {
	case u.Scheme == "ssh": // the port is that of SSH
		f.base = "https://" + u.Hostname()
	case u.Scheme == "http":
		f.base = "http://" + u.Host
	case u.Scheme != "https":
		return forge{}
	}
	f.base += "/" + strings.Trim(strings.TrimSuffix(strings.TrimSuffix(u.EscapedPath(), "/"), ".git"), "/")
	for _, kind := range []string{"github", "gitlab", "gitea", "forgejo", "codeberg"} {
		if strings.Contains(strings.ToLower(u.Hostname()), kind) {
			f.kind = kind
			break
		}
	}
	return f
}

// commit returns the page of a commit; its id has to be complete.
func (f forge) commit(id string) string {
	if f.base == "" || len(id) < 40 {
		return ""
	}
	return f.base + "/commit/" + id
}

// compare returns the page of what changed between two commits, if the server is one whose paths are known.
func (f forge) compare(from, to string) string {
	path := map[string]string{"github": "/compare/", "gitlab": "/-/compare/", "gitea": "/compare/", "forgejo": "/compare/", "codeberg": "/compare/"}[f.kind]
	if path == "" || from == "" || to == "" || from == to {
		return ""
	}
	return f.base + path + from + "..." + to
}

// branch returns the page of a branch, if the server is one whose paths are known.
func (f forge) branch(name string) string {
	tree := map[string]string{"github": "/tree/", "gitlab": "/-/tree/", "gitea": "/src/branch/", "forgejo": "/src/branch/", "codeberg": "/src/branch/"}[f.kind]
	if tree == "" {
		return ""
	}
	return f.base + tree + escapePath(name)
}

// requests returns the page of a branch's merge requests, if the server is one that can search for them.
func (f forge) requests(branch string) string {
	switch f.kind {
	case "github":
		return f.base + "/pulls?q=" + url.QueryEscape("is:pr head:"+branch)
	case "gitlab":
		return f.base + "/-/merge_requests?state=all&source_branch=" + url.QueryEscape(branch)
	}
	return ""
}

// file returns the page of a line of a file at a commit.
func (f forge) file(commit, file string, line int) string {
	blob := map[string]string{"github": "/blob/", "gitlab": "/-/blob/", "gitea": "/src/commit/", "forgejo": "/src/commit/", "codeberg": "/src/commit/"}[f.kind]
	if blob == "" || commit == "" {
		return ""
	}
	address := f.base + blob + commit + "/" + escapePath(file)
	if line > 0 {
		address += "#L" + strconv.Itoa(line)
	}
	return address
}

// origin returns the page of an origin, file:line.
func (f forge) origin(commit, origin string) string {
	file, at, ok := strings.Cut(origin, ":")
	line, err := strconv.Atoi(at)
	if !ok || err != nil {
		return ""
	}
	return f.file(commit, file, line)
}

func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// fullCommit returns the complete id of the commit that the status is about, as far as the Environment has it.
func fullCommit(env *v1alpha1.Environment) string {
	ids := []string{env.Spec.Pin, env.Spec.Commit, env.Status.AppliedCommit, env.Status.HealthyCommit}
	for _, sync := range env.Status.History {
		ids = append(ids, sync.Commit)
	}
	for _, id := range ids {
		if short := env.Status.ShortCommit; id != "" && strings.HasPrefix(id, short) {
			return id
		}
	}
	return ""
}
