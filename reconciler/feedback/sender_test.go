package feedback

import (
	stdcmp "cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/source/forge"
)

// office is an agent with one Repository that reports to a forge of its own. It is the client, the forge and the reporter.
type office struct {
	client.Reader
	t *testing.T

	mu      sync.Mutex
	missing error // why there is no Repository
	repo    *v1alpha1.Repository
	token   string
	agent   string
	address string // of the project at the forge
	envs    map[string]*v1alpha1.Environment
	open    []forge.MergeRequest
	bodies  map[int64]string // of notes, by id
	calls   []string         // to the forge, since said was last called
	writes  int              // of statuses of Environments
	fails   func(call string) error
	merge   forge.MergeState // of merges; empty: Mergeable
	merged  string           // the commits of merges; empty: the heads
	slow    time.Duration    // how long a commit status or a note takes
	waiting int              // requests that are under way
	most    int              // the most of them
	counted []string         // what the metrics get

	plans  Plans
	sender *Sender
	begin  func() // lets the agent work
	stop   func()
}

func (o *office) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch into := into.(type) {
	case *v1alpha1.Repository:
		o.repo.DeepCopyInto(into)
		return o.missing
	case *corev1.Secret:
		if o.token != "" {
			into.Data = map[string][]byte{"token": []byte(o.token)}
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func (o *office) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	list, ok := into.(*v1alpha1.EnvironmentList)
	if !ok {
		return fmt.Errorf("listed %T", into)
	}
	for _, env := range o.envs {
		list.Items = append(list.Items, *env.DeepCopy())
	}
	return nil
}

func (o *office) call(text string) error {
	o.calls = append(o.calls, text)
	if o.fails != nil {
		return o.fails(text)
	}
	return nil
}

// project is the project at the forge that a client was made for.
type project struct {
	*office
	address string
}

func (p *project) Address() string { return p.address }

func (o *office) SetStatus(ctx context.Context, s forge.Status) (int64, error) {
	if err := o.wait(ctx); err != nil {
		return 0, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return 9, o.call(fmt.Sprintf("%s %.1s %s", s.Name, s.Commit, s.State))
}

// wait waits as long as a slow forge, whose answer is lost if the context ends.
func (o *office) wait(ctx context.Context) error {
	o.change(func() {
		o.waiting++
		o.most = max(o.most, o.waiting)
	})
	defer o.change(func() { o.waiting-- })
	select {
	case <-time.After(o.slow):
		return nil
	case <-ctx.Done():
		return &forge.Error{Reason: forge.Unreachable, Op: "report", Cause: ctx.Err().Error()}
	}
}

func (o *office) MergeRequests(context.Context) ([]forge.MergeRequest, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.open), o.call("list")
}

func (o *office) Merge(_ context.Context, m forge.MergeRequest) (forge.Merge, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return forge.Merge{Commit: stdcmp.Or(o.merged, m.Head), State: stdcmp.Or(o.merge, forge.Mergeable)}, o.call(fmt.Sprintf("merge !%d %.1s", m.Number, m.Head))
}

func (o *office) PutNote(ctx context.Context, number, id int64, marker, body string) (int64, error) {
	if err := o.wait(ctx); err != nil {
		return 0, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !strings.HasPrefix(body, marker) {
		o.t.Error("a note without its marker")
	}
	if id == 0 {
		id = 1000 + number
	}
	state := strings.Fields(strings.SplitN(body, "|---|---|---|---|\n", 2)[len(strings.SplitN(body, "|---|---|---|---|\n", 2))-1])
	o.bodies[id] = body
	words := "removed"
	if len(state) > 4 && strings.Contains(body, "|---|") {
		words = state[4]
	}
	return id, o.call(fmt.Sprintf("note %d in !%d %s", id, number, words))
}

func (o *office) SetDeployment(_ context.Context, d forge.Deployment) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return max(d.ID, 5), o.call(fmt.Sprintf("deployment %d of %.1s to %s %s", d.ID, d.Commit, d.Environment, d.State))
}

func (o *office) EndDeployment(_ context.Context, d forge.Deployment) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.Shared {
		return o.call(fmt.Sprintf("end only %d of %s", d.ID, d.Environment))
	}
	return o.call(fmt.Sprintf("end %d of %s", d.ID, d.Environment))
}

// opens returns an office whose agent runs.
func opens(t *testing.T, envs ...*v1alpha1.Environment) *office { return opensWith(t, nil, envs...) }

// opensWith returns one whose agent makes plans.
func opensWith(t *testing.T, plans Plans, envs ...*v1alpha1.Environment) *office {
	o := &office{t: t, plans: plans, token: "right", address: "https://gitlab.example.com/acme/posts", envs: map[string]*v1alpha1.Environment{}, bodies: map[int64]string{}}
	o.repo = apitest.Repository(func(repo *v1alpha1.Repository) {
		// GitHub gets one request at a time, so the calls about several branches have an order.
		repo.Spec.Feedback = &v1alpha1.Feedback{Provider: v1alpha1.ForgeGitHub, SecretRef: v1alpha1.SecretReference{Name: "forge"}, Statuses: v1alpha1.StatusesBlocking, Note: v1alpha1.NoteSticky}
	})
	if p, ok := plans.(*planner); ok {
		p.office = o
	}
	for _, env := range envs {
		o.envs[env.Name] = env
	}
	o.starts()
	return o
}

// starts starts an agent, which has no memory. It begins to work when the test first waits, so that nothing depends on which of
// the two is faster.
func (o *office) starts() {
	o.sender = New(Config{
		Plans: o.plans, Client: o, Recall: func(*v1alpha1.Environment) {}, Requeue: func(types.NamespacedName) {}, Agent: o.agent, Key: []byte("key"),
		Sent: func(repository, reason string, took time.Duration) {
			o.change(func() { o.counted = append(o.counted, fmt.Sprint(repository, " ", reason, " ", took)) })
		},
		Left: func(repository string) {
			o.change(func() { o.counted = append(o.counted, repository+" left") })
		},
		Connect: func(c forge.Config) (Forge, error) {
			c.Sent(forge.Unauthorized, time.Second)
			o.mu.Lock()
			defer o.mu.Unlock()
			return &project{o, o.address}, nil
		},
		Write: func(_ context.Context, env *v1alpha1.Environment, told *v1alpha1.EnvironmentFeedback) error {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.writes++
			if there := o.envs[env.Name]; there != nil {
				there.Status.Feedback = told.DeepCopy()
			}
			return nil
		},
		Now: time.Now, Jitter: func() float64 { return 0 }, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(o.t.Context())
	o.stop = func() {
		cancel()
		synctest.Wait()
	}
	o.begin = sync.OnceFunc(func() { go func() { _ = o.sender.Start(ctx) }() })
	o.sender.Follow(o.repo)
}

// change changes the office while its agent runs.
func (o *office) change(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

// becomes changes an Environment.
func (o *office) becomes(branch, reason, commit string) {
	o.mu.Lock()
	env := environment(branch, reason, "", func(env *v1alpha1.Environment) { env.Spec.Commit, env.Status.ShortCommit = commit, commit[:8] })
	if before := o.envs[env.Name]; before != nil {
		env.Status.Feedback = before.Status.Feedback
	}
	o.envs[env.Name] = env
	o.mu.Unlock()
	o.sender.Changed(env)
}

// said returns the calls since the last time, after everything has settled for a time.
func (o *office) said(wait time.Duration) []string {
	o.begin()
	time.Sleep(wait) // in a bubble of synctest
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	calls := o.calls
	o.calls = nil
	return calls
}

func (o *office) wants(rule string, wait time.Duration, want ...string) {
	o.t.Helper()
	if diff := cmp.Diff(want, o.said(wait)); diff != "" {
		o.t.Errorf("%s: calls (-want +got):\n%s", rule, diff)
	}
}

func (o *office) condition() string {
	if c := o.sender.Condition(o.repo); c != nil {
		return c.Reason
	}
	return ""
}

func TestASyncIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t)
		o.change(func() { o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}} })
		o.wants("nothing is asked for without environments", time.Minute)
		o.becomes("side", "Syncing", commitA)
		o.wants("the status shows that the sync runs", time.Second, "berth/review a Running", "list")
		o.wants("the note does after 2 seconds", time.Second, "note 1007 in !7 Syncing")
		o.becomes("side", "Healthy", commitA)
		o.wants("the status comes at once", time.Second, "berth/review a Success")
		o.wants("the note within 5 seconds of its last edit", 4*time.Second, "note 1007 in !7 Healthy")
		o.said(time.Minute)
		o.becomes("side", "Syncing", commitA)
		o.said(time.Second)
		o.becomes("side", "Failed", commitA)
		o.wants("a sync that ends soon edits the note once, and at once", time.Second, "berth/review a Failed", "note 1007 in !7 Failed")
		o.becomes("side", "Healthy", commitA)
		o.said(time.Minute)
		writes := o.writes
		o.wants("nothing is asked while nothing changes", 24*time.Hour)
		o.sender.Changed(o.envs["posts.review.side"])
		o.sender.Follow(o.repo)
		o.wants("not even if the status was written without a difference", time.Minute)
		if o.writes != writes {
			t.Errorf("%d statuses were written without a difference", o.writes-writes)
		}
		o.stop()
		o.starts()
		o.wants("a restart repeats nothing, and lists the merge requests", time.Minute, "list")
		o.becomes("side", "Healthy", commitB)
		o.wants("a newer commit", time.Minute, "berth/review b Success", "note 1007 in !7 Healthy")
		if o.condition() != v1alpha1.ReasonReported {
			t.Errorf("the condition is %s", o.condition())
		}
		o.stop()
	})
}

func TestASupersededCommitIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t, environment("side", "Syncing", ""))
		o.wants("the sync runs", time.Minute, "berth/review a Running", "list")
		o.stop()
		o.starts()
		o.said(time.Second)
		o.becomes("side", "Syncing", commitB)
		o.wants("another follows, after a restart", time.Minute, "berth/review a Canceled", "berth/review b Running", "list")
		o.change(func() { delete(o.envs, "posts.review.side") })
		o.sender.Changed(environment("side", "Syncing", ""))
		o.wants("the environment is gone", time.Minute, "berth/review b Canceled")
		o.stop()
	})
}

func TestAMergeRequestIsOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t, environment("side", "Healthy", ""), environment("other", "Healthy", ""))
		o.said(time.Minute)
		o.change(func() {
			o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}, {Number: 8, Branch: "side"}, {Number: 9, Branch: "without an environment"}}
		})
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.wants("a webhook announces it", time.Minute, "list", "note 1007 in !7 Healthy", "note 1008 in !8 Healthy")
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.wants("another webhook", time.Minute, "list")
		o.change(func() { o.open = nil })
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.wants("both are closed", time.Minute, "list")
		o.becomes("side", "Failed", commitA)
		o.wants("closed ones are not edited", time.Minute, "berth/review a Failed", "list")
		o.change(func() { o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}} })
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.wants("a reopened one is caught up with", time.Minute, "list", "note 1007 in !7 Failed")
		o.change(func() { o.open = nil })
		o.change(func() { delete(o.envs, "posts.review.side") })
		o.sender.Changed(environment("side", "Failed", ""))
		o.wants("unless the environment is gone", time.Minute, "note 1007 in !7 removed", "note 1008 in !8 removed")
		o.stop()
	})
}

// Gitea moves the merge requests of a renamed branch to its new name. The end of the old environment does not overwrite the
// note of the new one.
func TestAMergeRequestMovesToAnotherBranch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t, environment("side", "Healthy", ""))
		o.change(func() { o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}} })
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.said(time.Minute)
		renamed := environment("other", "Healthy", "")
		o.change(func() {
			o.open = []forge.MergeRequest{{Number: 7, Branch: "other"}}
			o.envs[renamed.Name] = renamed
		})
		o.sender.tell(client.ObjectKeyFromObject(o.repo), func(l *line) { l.changed["other"], l.heard = true, true }) // at once: each would list
		o.wants("the new branch has the note", time.Minute, "berth/review a Success", "list", "note 1007 in !7 Healthy")
		o.change(func() { delete(o.envs, "posts.review.side") })
		o.sender.Changed(environment("side", "Healthy", ""))
		o.wants("the old one is gone", time.Minute)
		o.stop()
	})
}

// Gitea lists the merge request of a deleted branch under a name that no branch has, until it is closed.
func TestTheBranchOfAMergeRequestIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t, environment("side", "Healthy", ""))
		o.change(func() { o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}} })
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.said(time.Minute)
		o.change(func() { o.open = []forge.MergeRequest{{Number: 7, Branch: "refs/pull/7/head"}} })
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.wants("the branch is deleted", time.Minute, "list")
		o.change(func() { delete(o.envs, "posts.review.side") })
		o.sender.Changed(environment("side", "Healthy", ""))
		o.wants("and then its environment", time.Minute, "note 1007 in !7 removed")
		o.stop()
	})
}

// The forge is caught up with, and not with history.
func TestAForgeThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t)
		o.said(time.Second)
		o.change(func() {
			o.fails = func(string) error {
				return &forge.Error{Reason: forge.Unreachable, Op: "report", Cause: "connection refused"}
			}
		})
		o.becomes("side", "Failed", commitA)
		asked := len(o.said(time.Hour))
		if asked > 60 || o.condition() != v1alpha1.ReasonUnreachable {
			t.Errorf("%d requests in an hour, condition %s", asked, o.condition())
		}
		if e := o.envs["posts.review.side"].Status.Feedback.Error; !strings.Contains(e, "connection refused") {
			t.Errorf("the Environment says %q", e)
		}
		o.becomes("side", "Healthy", commitB)
		o.change(func() { o.fails = nil })
		if calls := o.said(10 * time.Minute); len(calls) != 2 || !slices.Contains(calls, "berth/review b Success") {
			t.Errorf("when it is back: %v", calls)
		}
		if o.condition() != v1alpha1.ReasonReported || o.envs["posts.review.side"].Status.Feedback.Error != "" {
			t.Errorf("the condition is %s, the Environment's error %q", o.condition(), o.envs["posts.review.side"].Status.Feedback.Error)
		}
		o.stop()
	})
}

// The forge gets a report once, even if the agent ends while it sends it. An agent does not wait long for a forge.
func TestAReportThatHasBegunEndsWithTheAgent(t *testing.T) {
	for _, test := range []struct {
		slow time.Duration
		kept bool
	}{{farewell / 2, true}, {time.Minute, false}} {
		synctest.Test(t, func(t *testing.T) {
			o := opens(t, environment("side", "Healthy", ""))
			o.slow = test.slow
			o.wants("it has begun", time.Millisecond)
			o.stop()
			time.Sleep(farewell) // in a bubble of synctest
			synctest.Wait()
			if told := o.envs["posts.review.side"].Status.Feedback; (told != nil && told.State == "Success") != test.kept {
				t.Errorf("with a forge that takes %s, %+v is written down", test.slow, told)
			}
		})
	}
}

// Whatever happens meanwhile, the next try comes soon after the first failures, and not sooner.
func TestEventsDoNotPutOffTheRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t, environment("side", "Healthy", ""))
		o.change(func() { o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}} })
		o.said(time.Minute)
		o.change(func() { o.fails = func(string) error { return fault(forge.NotFound, 0) } })
		for range 30 {
			o.becomes("side", "Failed", commitA)
			o.becomes("side", "Healthy", commitA)
			o.sender.Heard(client.ObjectKeyFromObject(o.repo))
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		lists := slices.DeleteFunc(o.said(time.Millisecond), func(c string) bool { return c != "list" })
		if len(lists) > 3 {
			t.Errorf("the merge requests were listed %d times in 3 seconds", len(lists))
		}
		o.change(func() { o.fails = nil })
		o.becomes("side", "Failed", commitB)
		if calls := o.said(5 * time.Second); !slices.Contains(calls, "note 1007 in !7 Failed") || !slices.Contains(calls, "berth/review b Failed") {
			t.Errorf("5 seconds after the forge is well: %v", calls)
		}
		o.stop()
	})
}

// The note of an environment that is gone is not forgotten while the forge is down.
func TestAnEnvironmentGoesWhileTheForgeIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t, environment("side", "Healthy", ""), environment("other", "Healthy", ""))
		o.change(func() { o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}} })
		o.said(time.Minute)
		o.change(func() {
			o.fails = func(call string) error {
				if strings.HasPrefix(call, "berth/") {
					return nil
				}
				return &forge.Error{Reason: forge.Unreachable, Op: "report", Cause: "connection refused"}
			}
		})
		o.becomes("other", "Failed", commitA)
		o.said(time.Minute)
		o.change(func() { delete(o.envs, "posts.review.side") })
		o.sender.Changed(environment("side", "Healthy", ""))
		o.said(time.Second)
		o.change(func() { o.fails = nil })
		if calls := o.said(10 * time.Minute); !slices.Contains(calls, "note 1007 in !7 removed") {
			t.Errorf("when the forge is back: %v", calls)
		}
		o.stop()
	})
}

func TestAPermissionIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t)
		o.change(func() { o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}} })
		o.said(time.Second)
		o.change(func() {
			o.fails = func(call string) error {
				if strings.HasPrefix(call, "note") {
					return fault(forge.Forbidden, 0)
				}
				return nil
			}
		})
		o.becomes("side", "Healthy", commitA)
		if calls := o.said(time.Second); !slices.Contains(calls, "berth/review a Success") || o.condition() != v1alpha1.ReasonForbidden {
			t.Errorf("the calls are %v, the condition %s", calls, o.condition())
		}
		o.becomes("main", "Healthy", commitB)
		if calls := o.said(time.Second); !slices.Contains(calls, "berth/production b Success") {
			t.Errorf("statuses do not go on: %v", calls)
		}
		o.change(func() { o.fails = nil })
		o.change(func() { o.token = "another" })
		o.sender.Follow(o.repo)
		if calls := o.said(time.Second); !slices.Contains(calls, "note 1007 in !7 Healthy") || o.condition() != v1alpha1.ReasonReported {
			t.Errorf("with another token: %v, condition %s", calls, o.condition())
		}
		o.stop()
	})
}

func TestDeployments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t)
		o.change(func() {
			f := o.repo.Spec.Feedback
			f.Statuses, f.Note, f.Deployments = v1alpha1.StatusesNever, v1alpha1.NoteNever, v1alpha1.DeploymentsRecorded
		})
		o.said(time.Second)
		o.becomes("side", "Syncing", commitA)
		o.wants("a sync begins", time.Second, "deployment 0 of a to review/side Running")
		o.stop()
		o.starts()
		o.wants("a restart repeats nothing", time.Minute)
		o.becomes("side", "Healthy", commitA)
		o.wants("the same deployment ends", time.Second, "deployment 5 of a to review/side Success")
		o.becomes("side", "Syncing", commitA)
		o.wants("a deployment that begins again is a new one", time.Second, "deployment 0 of a to review/side Running")
		o.becomes("side", "Syncing", commitB)
		o.wants("another commit supersedes it", time.Second, "deployment 5 of a to review/side Canceled", "deployment 0 of b to review/side Running")
		o.becomes("side", "Expired", commitB)
		o.wants("the environment expires", time.Second, "end 5 of review/side")
		o.becomes("side", "Deleting", commitB)
		o.wants("its end is recorded once", time.Second)
		o.becomes("main", "Healthy", commitA)
		o.said(time.Second)
		o.change(func() { delete(o.envs, "posts.production.main") })
		o.sender.Changed(environment("main", "Healthy", ""))
		o.wants("an environment that is just gone", time.Second, "end 5 of production")
		o.stop()
	})
}

func TestTheSettingsOfFeedback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t, environment("side", "Failed", ""))
		o.change(func() { o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}} })
		o.said(time.Minute)
		change := func(f *v1alpha1.Feedback) {
			o.change(func() { o.repo.Spec.Feedback = f })
			o.sender.Follow(o.repo)
		}
		secret := v1alpha1.SecretReference{Name: "forge"}
		change(&v1alpha1.Feedback{Provider: v1alpha1.ForgeGitHub, SecretRef: secret, Statuses: v1alpha1.StatusesInformative, Note: v1alpha1.NoteNever})
		o.wants("informative statuses are reported again, and the note ends", time.Minute, "berth/review a Failed", "note 1007 in !7 removed")
		change(&v1alpha1.Feedback{Provider: v1alpha1.ForgeGitHub, SecretRef: secret, Statuses: v1alpha1.StatusesNever, Note: v1alpha1.NoteSticky})
		o.becomes("side", "Healthy", commitB)
		if calls := o.said(time.Minute); slices.ContainsFunc(calls, func(c string) bool { return strings.HasPrefix(c, "berth/") }) || !slices.Contains(calls, "note 1007 in !7 Healthy") {
			t.Errorf("without statuses: %v", calls)
		}
		o.change(func() { o.token = "" })
		change(&v1alpha1.Feedback{Provider: v1alpha1.ForgeGitHub, SecretRef: secret})
		o.wants("there is no Secret", time.Minute)
		if o.condition() != v1alpha1.ReasonUnauthorized {
			t.Errorf("without the Secret, the condition is %s", o.condition())
		}
		change(nil)
		o.becomes("side", "Healthy", commitA)
		o.wants("nothing is reported any more", time.Minute)
		if o.condition() != "" {
			t.Errorf("without feedback, the condition is %s", o.condition())
		}
		o.stop()
	})
}
