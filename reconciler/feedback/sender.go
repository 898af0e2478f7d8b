// Package feedback reports to the forge what environments run: commit statuses, and a note in each merge request.
//
// What is reported follows from the current state alone. A [Sender] compares it with what was last reported, which the status
// of each Environment keeps, and sends the difference. So it repeats nothing after a restart, sends nothing while nothing
// changes, and catches up with the present, never with the past. It works beside the controllers, and delays none of them.
package feedback

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// Forge is the project at a forge. A [forge.Client] is one.
type Forge interface {
	// Address returns the address of the project for people.
	Address() string
	SetStatus(ctx context.Context, s forge.Status) (pipeline int64, err error)
	MergeRequests(ctx context.Context) ([]forge.MergeRequest, error)
	Merge(ctx context.Context, m forge.MergeRequest) (forge.Merge, error)
	PutNote(ctx context.Context, mergeRequest, id int64, marker, body string) (int64, error)
	Deployments
}

// Deployments is the part of a Forge that records deployments.
type Deployments interface {
	SetDeployment(ctx context.Context, d forge.Deployment) (id int64, err error)
	EndDeployment(ctx context.Context, d forge.Deployment) error
}

// Config configures a Sender.
type Config struct {
	// Client reads from the cache.
	Client client.Reader
	// Recall updates an Environment's status from the cache to what was last written.
	Recall func(env *v1alpha1.Environment)
	// Write writes an Environment's status.feedback.
	Write func(ctx context.Context, env *v1alpha1.Environment, told *v1alpha1.EnvironmentFeedback) error
	// Requeue requeues a Repository whose condition Feedback changed.
	Requeue func(types.NamespacedName)
	// Connect returns the client for a forge; nil means forge.New.
	Connect func(forge.Config) (Forge, error)
	// Agent is the name of this agent. What is reported carries it, so that agents of several clusters do not overwrite each
	// other's reports.
	Agent string
	// Page is the address of the page that people can open, such as https://berth.example.com; empty: there is none.
	Page Page
	// Plans makes the plans of merge requests; nil: there are none.
	Plans Plans
	// Key makes the markers of notes unique to this installation.
	Key []byte
	// Proxy, Wrap and UserAgent are those of requests to forges, as in forge.Config.
	Proxy     func(*http.Request) (*url.URL, error)
	Wrap      func(http.RoundTripper) http.RoundTripper
	UserAgent string
	// Sent is called after each request to the forge of a Repository, as in forge.Config. Left is called after the last one,
	// when the Repository reports nothing any more. nil: they are not.
	Sent func(repository, reason string, took time.Duration)
	Left func(repository string)
	// Now is the clock, Jitter a source of random numbers in [0,1).
	Now    func() time.Time
	Jitter func() float64
	Log    *slog.Logger
}

// Sender reports to forges, for each Repository in a goroutine of its own: a forge that does not answer delays no other.
type Sender struct {
	Config
	mu      sync.Mutex
	lines   map[types.NamespacedName]*line
	ctx     context.Context // set while it runs
	running sync.WaitGroup
}

// New returns a Sender. It sends nothing before Start.
func New(c Config) *Sender {
	if c.Connect == nil {
		c.Connect = func(f forge.Config) (Forge, error) { return forge.New(f) }
	}
	if c.Sent == nil {
		c.Sent = func(string, string, time.Duration) {}
	}
	if c.Left == nil {
		c.Left = func(string) {}
	}
	return &Sender{Config: c, lines: map[types.NamespacedName]*line{}}
}

// Start sends until the context ends. Only the leader may run it.
func (s *Sender) Start(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	for _, l := range s.lines {
		s.running.Go(func() { l.run(ctx) })
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.ctx = nil
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// line returns the line to the forge of a Repository. The caller holds the lock.
func (s *Sender) line(repo types.NamespacedName) *line {
	l, ok := s.lines[repo]
	if !ok {
		l = newLine(s, repo)
		s.lines[repo] = l
		if ctx := s.ctx; ctx != nil {
			s.running.Go(func() { l.run(ctx) })
		}
	}
	return l
}

// retire removes a line whose Repository reports nothing any more, and reports whether it did: not if there is news for it.
func (s *Sender) retire(l *line) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(l.signal) > 0 {
		return false
	}
	delete(s.lines, l.repo)
	return true
}

// existing returns the line of a Repository, if there is one: a Repository that reports nothing has none.
func (s *Sender) existing(repo types.NamespacedName) (*line, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.lines[repo]
	return l, ok
}

// Follow takes note of a Repository, whose spec or Secrets may have changed.
func (s *Sender) Follow(repo *v1alpha1.Repository) {
	key := client.ObjectKeyFromObject(repo)
	if repo.Spec.Feedback == nil {
		s.tell(key, nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line(key).requeue(nil)
}

// Removed reports that a Repository is gone.
func (s *Sender) Removed(repo types.NamespacedName) { s.tell(repo, nil) }

// tell requeues the line of a Repository, if there is one. The lock keeps the line from retiring meanwhile.
func (s *Sender) tell(repo types.NamespacedName, change func(*line)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.lines[repo]
	if !ok {
		return
	}
	l.requeue(func() {
		if change != nil {
			change(l)
		}
	})
}

// Changed reports that the status of an Environment changed, or that it is gone.
func (s *Sender) Changed(env *v1alpha1.Environment) {
	key := types.NamespacedName{Namespace: env.Namespace, Name: env.Spec.Repository}
	s.tell(key, func(l *line) { l.changed[env.Spec.Branch] = true })
}

// Heard reports a webhook of a Repository: a merge request may have been opened.
func (s *Sender) Heard(repo types.NamespacedName) {
	s.tell(repo, func(l *line) { l.heard = true })
}

// Condition returns the condition Feedback of a Repository; nil if nothing is known yet.
func (s *Sender) Condition(repo *v1alpha1.Repository) *metav1.Condition {
	l, ok := s.existing(client.ObjectKeyFromObject(repo))
	if !ok {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.condition.DeepCopy()
}

// Planned reports that a plan of a merge request is ready.
func (s *Sender) Planned(repo types.NamespacedName) { s.tell(repo, nil) }
