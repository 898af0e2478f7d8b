// Package checkup looks whether an installation, its repositories and what they encrypt are sound.
package checkup

import (
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/deploy"
)

// Result is what a look came to.
type Result string

// The results. Only a Problem keeps anything from working.
const (
	OK      Result = "ok"
	Warning Result = "warning"
	Problem Result = "problem"
	// Unknown means that it could not be looked at, most often for lack of rights.
	Unknown Result = "unknown"
)

// Finding is what one look came to.
type Finding struct {
	Result Result `json:"result"`
	// About is what was looked at: the installation, a repository, an entry of one.
	About string `json:"about"`
	Check string `json:"check"`
	// Message says what was found and, unless all is well, the next step.
	Message string `json:"message"`
	// File is set where the look was at an encrypted file.
	File *File `json:"file,omitempty"`
}

// Config is what a Checker is made of.
type Config struct {
	Client     client.Reader
	Kubernetes kubernetes.Interface
	// Namespace is the agent's.
	Namespace string
	Now       func() time.Time
}

// Checker looks at a cluster, with the rights of whoever asks: what these do not allow is Unknown.
type Checker struct {
	Config
	// account is the agent's, as far as Installation has found it.
	account string
}

// New returns a Checker.
func New(c Config) *Checker { return &Checker{Config: c, account: deploy.ServiceAccount} }

// findings collects what is found about one thing.
type findings struct {
	about string
	all   []Finding
}

func (f *findings) add(r Result, check, format string, args ...any) {
	f.all = append(f.all, Finding{Result: r, About: f.about, Check: check, Message: fmt.Sprintf(format, args...)})
}

// unseen notes why something could not be looked at.
func (f *findings) unseen(check, what string, err error) {
	if apierrors.IsForbidden(err) {
		f.add(Unknown, check, "you are not allowed to look at %s", what)
		return
	}
	f.add(Unknown, check, "%s cannot be read: %v", what, err)
}
