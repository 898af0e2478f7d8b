package source

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// Credentials are sent to the host of the URL and to no other, and appear in no error.
type Credentials struct {
	Username    string // with Password; "git" if empty, since tokens do not care
	Password    string // or a token
	BearerToken string // instead of Username and Password
	Identity    []byte // an SSH private key, PEM; Password is its passphrase
	KnownHosts  []byte // the SSH host keys to trust, as in known_hosts; needed for ssh://
	CA          []byte // more certificate authorities to trust, PEM
}

// String hides the credentials when a Config is printed.
func (Credentials) String() string { return "[redacted]" }

// GoString does the same for %#v.
func (Credentials) GoString() string { return "[redacted]" }

// authorize puts the credentials on a request that goes to the repository's own host.
func (c Credentials) authorize(request *http.Request) {
	switch {
	case c.BearerToken != "":
		request.Header.Set("Authorization", "Bearer "+c.BearerToken)
	case c.Password != "":
		request.SetBasicAuth(c.user(), c.Password)
	}
}

func (c Credentials) user() string {
	if c.Username == "" {
		return "git"
	}
	return c.Username
}

// given reports whether there are credentials that a server could refuse.
func (c Credentials) given() bool {
	return c.BearerToken != "" || c.Password != "" || len(c.Identity) > 0
}

// scrub removes the credentials from foreign text, which may quote them.
func (c Credentials) scrub(text string) string {
	for _, secret := range []string{c.Password, c.BearerToken} {
		if secret == "" {
			continue
		}
		basic := base64.StdEncoding.EncodeToString([]byte(c.user() + ":" + secret))
		for _, form := range []string{basic, url.QueryEscape(secret), url.PathEscape(secret), secret} {
			text = strings.ReplaceAll(text, form, "[redacted]")
		}
	}
	return text
}

// parseURL reads a repository's URL and refuses one that cannot work or that holds a secret in the open.
func parseURL(config Config) (*url.URL, error) {
	u, err := url.Parse(config.URL)
	if err != nil {
		// The text of a url.Error quotes the URL, which may hold a password.
		return nil, &Error{Reason: Invalid, Op: "read the repository's URL", Cause: "it is not a URL",
			Hint: "write https://host/group/project.git or ssh://git@host/group/project.git"}
	}
	refuse := func(cause, hint string) (*url.URL, error) {
		return nil, &Error{Reason: Invalid, Op: "use " + redact(u), Cause: cause, Hint: hint}
	}
	_, hasPassword := u.User.Password()
	switch {
	case hasPassword || u.User != nil && u.Scheme != "ssh":
		return refuse("the URL carries a user name or password", "move it to the Secret that secretRef names")
	case u.RawQuery != "" || u.Fragment != "":
		return refuse("the URL has a query or fragment", "write only the repository's address")
	case u.Scheme == "file" && config.Local != AllowLocal:
		return refuse("file:// URLs are not allowed", "start the agent with --allow-file-urls, or use https or ssh")
	case u.Scheme == "file" && u.Host == "" && u.Path != "":
		return u, nil
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh":
		return refuse("the URL begins with none of https://, http:// and ssh://",
			"write https://host/group/project.git, or ssh://git@host/group/project.git for git@host:group/project.git")
	case u.Hostname() == "" || strings.Trim(u.Path, "/") == "":
		return refuse("the URL has no host or no path", "write https://host/group/project.git")
	}
	return u, nil
}

// redact prints a URL without user, password, query and fragment.
func redact(u *url.URL) string {
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return bare.String()
}
