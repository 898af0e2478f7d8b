package web

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// pages makes links to the Git server's own pages. The zero value makes none.
type pages struct {
	base  string
	paths paths
	// hasNotes says that the agent has notes in merge requests there.
	hasNotes bool
}

// paths are where a Git server has its pages, below that of a project.
type paths struct {
	branch, file, compare, request string
	// search is the page of the merge requests of a branch; empty: the server cannot search for them.
	search string
}

// pathsOf are those of the servers that are known, by their API.
var pathsOf = map[v1alpha1.ForgeProvider]paths{
	v1alpha1.ForgeGitHub: {branch: "/tree/", file: "/blob/", compare: "/compare/", request: "/pull/", search: "/pulls?q=is%3Apr+head%3A"},
	v1alpha1.ForgeGitLab: {branch: "/-/tree/", file: "/-/blob/", compare: "/-/compare/", request: "/-/merge_requests/", search: "/-/merge_requests?state=all&source_branch="},
	v1alpha1.ForgeGitea:  {branch: "/src/branch/", file: "/src/commit/", compare: "/compare/", request: "/pulls/"},
}

// pagesOf returns the pages of a Repository at its Git server: the one that spec.feedback names, or else the one that the URL
// leads to, whose host's name says which server it is. All servers show a commit below the same path.
func pagesOf(repo *v1alpha1.Repository) pages {
	if repo == nil {
		return pages{}
	}
	u, err := url.Parse(repo.Spec.URL)
	if err != nil || u.Host == "" {
		return pages{}
	}
	named := v1alpha1.Feedback{}
	if repo.Spec.Feedback != nil {
		named = *repo.Spec.Feedback
	}
	path := strings.Trim(strings.TrimSuffix(strings.TrimSuffix(u.EscapedPath(), "/"), ".git"), "/")
	var base string
	switch given, err := url.Parse(webAddress(named.URL)); {
	case err == nil && given.Host != "":
		base = strings.TrimRight(given.String(), "/")
		if u.Scheme != "ssh" { // the server is below a path of its host
			path = strings.TrimPrefix(path, strings.Trim(given.EscapedPath(), "/")+"/")
		}
	case u.Scheme == "ssh": // the port is that of SSH
		base = "https://" + u.Hostname()
	case u.Scheme == "http", u.Scheme == "https":
		base = u.Scheme + "://" + u.Host
	default:
		return pages{}
	}
	provider := cmp.Or(named.Provider, v1alpha1.ForgeProvider(forge.ProviderOf(cmp.Or(named.URL, repo.Spec.URL))))
	return pages{base: base + "/" + path, paths: pathsOf[provider], hasNotes: repo.Spec.Feedback != nil}
}

// at returns the page below a path of the project; nothing if the server has no such path.
func (p pages) at(path, rest string) string {
	if p.base == "" || path == "" || rest == "" {
		return ""
	}
	return p.base + path + rest
}

// commit returns the page of a commit; its id has to be complete.
func (p pages) commit(id string) string {
	if len(id) < 40 {
		return ""
	}
	return p.at("/commit/", id)
}

// compare returns the page of what changed between two commits, if the server is one whose paths are known.
func (p pages) compare(from, to string) string {
	if from == "" || to == "" || from == to {
		return ""
	}
	return p.at(p.paths.compare, from+"..."+to)
}

// branch returns the page of a branch, if the server is one whose paths are known.
func (p pages) branch(name string) string { return p.at(p.paths.branch, escapePath(name)) }

// place is a page of the Git server with its name.
type place struct{ Title, Address string }

// places returns the pages of an environment: its branch, and the merge requests in which the agent has a note. If it has none,
// a search may find them.
func (p pages) places(env *v1alpha1.Environment) (list []place) {
	add := func(title, address string) {
		if address != "" {
			list = append(list, place{title, address})
		}
	}
	add("branch", p.branch(env.Spec.Branch))
	var requests []int64
	if f := env.Status.Feedback; f != nil && p.hasNotes {
		for _, note := range f.Notes {
			requests = append(requests, note.MergeRequest)
		}
	}
	for _, number := range requests {
		add("merge request "+strconv.FormatInt(number, 10), p.at(p.paths.request, strconv.FormatInt(number, 10)))
	}
	if len(requests) == 0 {
		add("merge requests", p.at(p.paths.search, url.QueryEscape(env.Spec.Branch)))
	}
	return list
}

// file returns the page of a line of a file at a commit.
func (p pages) file(commit, file string, line int) string {
	if commit == "" {
		return ""
	}
	address := p.at(p.paths.file, commit+"/"+escapePath(file))
	if address != "" && line > 0 {
		address += "#L" + strconv.Itoa(line)
	}
	return address
}

// origin returns the page of an origin, file:line.
func (p pages) origin(commit, origin string) string {
	file, at, ok := strings.Cut(origin, ":")
	line, err := strconv.Atoi(at)
	if !ok || err != nil {
		return ""
	}
	return p.file(commit, file, line)
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
