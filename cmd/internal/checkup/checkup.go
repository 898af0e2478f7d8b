// Package checkup checks an installation, its repositories and their encrypted files.
package checkup

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/deploy"
)

// Result is the result of a check.
type Result string

// The results. Only a Problem prevents anything from working.
const (
	OK      Result = "ok"
	Warning Result = "warning"
	Problem Result = "problem"
	// Unknown means that the check was impossible, usually because of missing rights.
	Unknown Result = "unknown"
)

// Finding is the finding of one check.
type Finding struct {
	Result Result `json:"result"`
	// About is the subject: the installation, a repository, or an entry of one.
	About string `json:"about"`
	Check string `json:"check"`
	// Message describes the finding and, unless all is well, the next step.
	Message string `json:"message"`
	// File is set for findings about an encrypted file.
	File *File `json:"file,omitempty"`
}

// Config configures a Checker.
type Config struct {
	Client     client.Reader
	Kubernetes kubernetes.Interface
	// Namespace is the agent's namespace.
	Namespace string
	// Proxy chooses the proxy of requests to forges; nil: none.
	Proxy func(*http.Request) (*url.URL, error)
	Now   func() time.Time
	// ServerTime returns the API server's time. Without it, clocks are not compared.
	ServerTime func(context.Context) (time.Time, error)
}

// Checker checks a cluster with the user's rights. A check that these do not allow is Unknown.
type Checker struct {
	Config
	// account is the agent's account, and agents are its Deployments, as found by Installation.
	account string
	agents  []appsv1.Deployment
	// in is set in another cluster, where the client has the credentials of the account.
	in *Account
}

// New returns a Checker.
func New(c Config) *Checker { return &Checker{Config: c, account: deploy.ServiceAccount} }

// findings collects the findings about one subject.
type findings struct {
	about string
	all   []Finding
}

func (f *findings) add(r Result, check, format string, args ...any) {
	f.all = append(f.all, Finding{Result: r, About: f.about, Check: check, Message: fmt.Sprintf(format, args...)})
}

// unseen records why a check was impossible.
func (f *findings) unseen(check, what string, err error) {
	if apierrors.IsForbidden(err) {
		f.add(Unknown, check, "you are not allowed to read %s", what)
		return
	}
	f.add(Unknown, check, "%s cannot be read: %v", what, err)
}
