// Package forge reports to GitLab, GitHub, Gitea and Forgejo: commit statuses, and notes in merge requests.
//
// It knows the APIs and their rules, and nothing of environments. Errors are of type [*Error]: they name the missing
// permission where there is one, and never hold a credential.
package forge

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Provider is the API of a forge.
type Provider string

// The APIs. Gitea is also Forgejo's.
const (
	GitLab Provider = "GitLab"
	GitHub Provider = "GitHub"
	Gitea  Provider = "Gitea"
)

// AtOnce returns how many requests may be under way at the same time. GitHub asks for one after the other:
// https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#avoid-concurrent-requests
func (p Provider) AtOnce() int {
	if p == GitHub {
		return 1
	}
	return 10
}

// Config configures a Client.
type Config struct {
	Provider Provider
	// URL is the address of the forge, and RepositoryURL that of the Git repository. Without URL, the forge is at the root of
	// the host of RepositoryURL.
	URL, RepositoryURL string
	Credentials        Credentials
	// Proxy chooses the proxy of a request, as in [http.Transport]; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Wrap wraps the transport, such as to send nothing that another process may send by now; nil: nothing does.
	Wrap func(next http.RoundTripper) http.RoundTripper
	// UserAgent names the program.
	UserAgent string
	// Now is the clock, which the times in a forge's answers are compared with.
	Now func() time.Time
	// Sent is called after each request with the reason of its error, or "" if it succeeded, and with the time that it took.
	// nil: it is not.
	Sent func(reason Reason, took time.Duration)
	// Transport carries the requests; nil means one of the Client's own, which honours Proxy and Credentials.CA.
	Transport http.RoundTripper
}

// Credentials are sent to the forge's host and to no other, and appear in no error.
type Credentials struct {
	// Token is an access token. Without it, App is used.
	Token string
	// App is a GitHub App, which gets its own short-lived tokens.
	App App
	// CA has more certificate authorities to trust, in PEM.
	CA []byte
}

// String hides the credentials when a Config is printed.
func (Credentials) String() string { return "[redacted]" }

// GoString does the same for %#v.
func (Credentials) GoString() string { return "[redacted]" }

// State is the state of a commit status.
type State string

// The states. The last three are final.
const (
	Pending  State = "Pending"
	Running  State = "Running"
	Success  State = "Success"
	Failed   State = "Failed"
	Canceled State = "Canceled"
)

// Final reports whether nothing more is expected.
func (s State) Final() bool { return s != Pending && s != Running }

// Weight is whether a status may block a merge.
type Weight string

// The weights.
const (
	Informative Weight = "Informative"
	Blocking    Weight = "Blocking"
)

// Status is a commit status. Texts are plain, of any length: each forge's limits are applied here.
type Status struct {
	Commit, Branch string
	// Name identifies the status among those of the commit.
	Name        string
	State       State
	Weight      Weight
	Description string
	// Link is where the status leads; empty: nowhere.
	Link string
	// Superseded says that the branch has a newer commit.
	Superseded bool
	// Pipeline is the one that SetStatus returned for this commit and name before, or 0.
	Pipeline int64
}

// MergeRequest is an open merge request (pull request).
type MergeRequest struct {
	Number int64
	// Branch is the source branch, and Target the one that it would be merged into. Head is the newest commit of the source.
	Branch, Target, Head string
	// Fork says that the source branch belongs to a fork.
	Fork bool
	// Base is where the source branch began, if the forge says it in lists.
	Base string
}

// Merge is what a merge request would make of its target branch.
type Merge struct {
	// Commit is the result, as the forge merges it beforehand. With Base it is the newest commit of the source, and Base is
	// where that branch began: the forge merges nothing beforehand.
	Commit, Base string
	// Parent is the second parent that Commit must have. With another one, the forge returned the merge of an earlier push, and
	// is to be asked again. Empty: the commit does not show that.
	Parent string
	State  MergeState
}

// MergeState is whether a merge request can be merged.
type MergeState string

// The states.
const (
	Mergeable   MergeState = "Mergeable"
	Conflicting MergeState = "Conflicting" // it cannot be merged as it is
	Computing   MergeState = "Computing"   // the forge finds out; ask again in some seconds
)

// Note is a note (comment) in a merge request.
type Note struct {
	ID   int64
	Body string
}

// api is what the forges have in common.
type api interface {
	setStatus(ctx context.Context, s Status) (pipeline int64, err error)
	mergeRequests(ctx context.Context, page int) (list []MergeRequest, more bool, err error)
	merge(ctx context.Context, m MergeRequest) (Merge, error)
	notes(ctx context.Context, mergeRequest int64, page int) (list []Note, more bool, err error)
	createNote(ctx context.Context, mergeRequest int64, body string) (int64, error)
	editNote(ctx context.Context, mergeRequest, id int64, body string) error
	probe(ctx context.Context, use Use) error
}

// Client reports to one project of a forge. It is safe for concurrent use.
type Client struct {
	api
	connection *connection
}

// New returns a Client. It sends nothing.
func New(c Config) (*Client, error) {
	at, err := locate(c)
	if err != nil {
		return nil, err
	}
	connection, err := connect(c, at)
	if err != nil {
		return nil, err
	}
	client := &Client{connection: connection}
	switch c.Provider {
	case GitLab:
		client.api = &gitlab{connection, "/projects/" + url.PathEscape(at.project)}
	case GitHub:
		client.api = &hub{connection: connection, project: "/repos/" + at.project, dialect: githubDialect}
	case Gitea:
		client.api = &hub{connection: connection, project: "/repos/" + at.project, dialect: giteaDialect}
	case "":
		return nil, &Error{Reason: Invalid, Op: "use the forge", Cause: "the name of its host does not say which API it has", Hint: "set spec.feedback.provider to GitLab, GitHub or Gitea"}
	default:
		return nil, &Error{Reason: Invalid, Op: "use the forge", Cause: "its API is not known: " + string(c.Provider), Hint: "set spec.feedback.provider to GitLab, GitHub or Gitea"}
	}
	return client, nil
}

// Close releases the connections.
func (c *Client) Close() { c.connection.close() }

// Address returns the address of the project for people.
func (c *Client) Address() string { return c.connection.web }

// SetStatus sets a commit status, and returns the pipeline to which GitLab added it, to be passed on for the next status of
// this commit.
func (c *Client) SetStatus(ctx context.Context, s Status) (pipeline int64, err error) {
	return c.setStatus(ctx, s)
}

// maxPages bounds how much of a list is read.
const maxPages = 20

// MergeRequests returns the open merge requests, those of forks too, the last changed ones if there are more than about a
// thousand.
func (c *Client) MergeRequests(ctx context.Context) ([]MergeRequest, error) {
	var all []MergeRequest
	for page := 1; page <= maxPages; page++ {
		list, more, err := c.mergeRequests(ctx, page)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if !more {
			break
		}
	}
	return all, nil
}

// Merge returns what a merge request would make of its target branch. The merge may be older than the target's newest commit.
func (c *Client) Merge(ctx context.Context, m MergeRequest) (Merge, error) { return c.merge(ctx, m) }
