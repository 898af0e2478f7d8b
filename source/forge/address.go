package forge

import (
	"net/url"
	"strings"
)

// place is where a project is.
type place struct {
	api     *url.URL // without a slash at the end
	web     string   // the project's page
	project string   // the path, such as acme/posts
}

// hosts has, by a part of a host's name, the API that forges with such names have.
var hosts = []struct {
	part     string
	provider Provider
}{
	{"github", GitHub}, {"gitlab", GitLab}, {"gitea", Gitea}, {"forgejo", Gitea}, {"codeberg", Gitea},
}

// ProviderOf guesses the API of a forge from its host's name; empty: it does not say.
func ProviderOf(address string) Provider {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	for _, h := range hosts {
		if strings.Contains(strings.ToLower(u.Hostname()), h.part) {
			return h.provider
		}
	}
	return ""
}

// locate finds the API and the project of a repository. Its errors quote no URL, which may hold a password.
func locate(c Config) (place, error) {
	invalid := func(cause, hint string) (place, error) {
		return place{}, &Error{Reason: Invalid, Op: "find the forge", Cause: cause, Hint: hint}
	}
	repository, err := url.Parse(c.RepositoryURL)
	if err != nil || repository.Host == "" {
		return invalid("spec.url is not the address of a repository on a forge", "correct spec.url")
	}
	base := &url.URL{Scheme: repository.Scheme, Host: repository.Host}
	if repository.Scheme == "ssh" {
		base = &url.URL{Scheme: "https", Host: repository.Hostname()}
	}
	if c.URL != "" {
		given, err := url.Parse(c.URL)
		if err != nil || given.Host == "" || given.Scheme != "https" && given.Scheme != "http" || given.User != nil {
			return invalid("spec.feedback.url is not an address", "write https://HOST, perhaps with a path, and without credentials")
		}
		base = &url.URL{Scheme: given.Scheme, Host: given.Host, Path: strings.TrimRight(given.Path, "/")}
	}
	path := strings.Trim(strings.TrimSuffix(strings.TrimRight(repository.Path, "/"), ".git"), "/")
	if prefix := strings.Trim(base.Path, "/"); prefix != "" && repository.Scheme != "ssh" {
		path = strings.TrimPrefix(path, prefix+"/")
	}
	parts := strings.Split(path, "/")
	if len(parts) < 2 || len(parts) > 2 && c.Provider != GitLab {
		return invalid("spec.url has no path of an owner and a repository", "if the forge is below a path of its host, put that address into spec.feedback.url")
	}
	at := place{api: base.JoinPath("api", "v4"), web: base.JoinPath(path).String(), project: path}
	switch {
	case c.Provider == Gitea:
		at.api = base.JoinPath("api", "v1")
	case c.Provider == GitHub && strings.EqualFold(base.Hostname(), "github.com"):
		at.api = &url.URL{Scheme: "https", Host: "api.github.com"}
	case c.Provider == GitHub && strings.HasSuffix(strings.ToLower(base.Hostname()), ".ghe.com"):
		at.api = &url.URL{Scheme: "https", Host: "api." + base.Host}
	case c.Provider == GitHub:
		at.api = base.JoinPath("api", "v3")
	}
	if c.Provider != GitLab {
		at.project = url.PathEscape(parts[0]) + "/" + url.PathEscape(parts[1])
	}
	return at, nil
}
