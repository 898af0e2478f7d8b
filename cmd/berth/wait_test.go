package main

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
)

// tell writes the agent's status for a commit.
func (w *watched) tell(env *v1alpha1.Environment, commit, reason, message string) {
	w.t.Helper()
	env.Spec.Commit = commit
	if err := w.client.Update(w.t.Context(), env); err != nil {
		w.t.Fatal(err)
	}
	env.Status.ObservedGeneration, env.Status.ShortCommit = env.Generation, commit[:8]
	env.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}}
	if err := w.client.Status().Update(w.t.Context(), env); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) ends(want int) {
	w.t.Helper()
	select {
	case code := <-w.code:
		if code != want {
			w.t.Errorf("it ends with %d, want %d", code, want)
		}
	case <-time.After(patience):
		w.t.Fatalf("it does not end; want %d", want)
	}
}

// A pipeline waits before the environment exists, even if its connection breaks.
func TestWaitSurvivesBrokenWatches(t *testing.T) {
	w := newWatched(t)
	w.berth("wait", "--branch", "first", "--commit", wanted, "--kubeconfig", w.kubeconfig, "-n", w.namespace)
	w.expect("waiting for the Environment of the branch first; no branch has an environment yet")
	w.create("posts.review.second", "second")
	first := w.create("posts.review.first", "first")
	w.expect("posts.review.first: waiting for the agent, which has not reconciled it yet")
	w.tell(first, older, v1alpha1.ReasonHealthy, "")
	w.expect("posts.review.first: waiting for the agent")

	w.proxy.CloseClientConnections()
	w.tell(first, wanted, v1alpha1.ReasonSyncing, "0 of 1 ready")
	w.expect("posts.review.first: b2b2b2b2 Syncing: 0 of 1 ready")
	w.tell(first, wanted, v1alpha1.ReasonHealthy, "")
	w.expect("posts.review.first: b2b2b2b2 Healthy")
	w.ends(0)
}

// A typo in a pipeline fails at once, not after the timeout.
func TestWaitForABranchThatNoEntryMatches(t *testing.T) {
	w := newWatched(t)
	w.create("posts.review.second", "second")
	repo := &v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Name: "posts", Namespace: w.namespace},
		Spec: v1alpha1.RepositorySpec{URL: "https://example.com/posts.git", Environments: []v1alpha1.Entry{
			{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "posts"},
		}},
	}
	if err := w.client.Create(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	w.berth("wait", "--branch", "mian", "--kubeconfig", w.kubeconfig, "-n", w.namespace)
	w.ends(exitFailed)
	if want := "no entry of a Repository in the namespace " + w.namespace + " matches it; branches with an environment: second"; !strings.Contains(w.stderr.String(), want) {
		t.Errorf("stderr is %q, want %q in it", w.stderr.String(), want)
	}
}

// The agent of this cluster will never make the environment.
func TestWaitForABranchOfAnotherAgent(t *testing.T) {
	w := newWatched(t)
	repo := &v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Name: "posts", Namespace: w.namespace},
		Spec: v1alpha1.RepositorySpec{URL: "https://example.com/posts.git", Environments: []v1alpha1.Entry{
			{Name: "production", Agent: "east", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "posts"},
			{Name: "review", Agent: "west", Branches: []v1alpha1.BranchPattern{"**"}, Namespace: "posts-${BRANCH_SLUG}"},
		}},
	}
	if err := w.client.Create(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	repo.Status.ObservedGeneration, repo.Status.Agent = repo.Generation, "west"
	if err := w.client.Status().Update(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	w.berth("wait", "--branch", "main", "--entry", "production", "--kubeconfig", w.kubeconfig, "-n", w.namespace)
	w.ends(exitFailed)
	if want := "its entry production belongs to the agent east, which runs in another cluster; use the kubeconfig of that cluster"; !strings.Contains(w.stderr.String(), want) {
		t.Errorf("stderr is %q, want %q in it", w.stderr.String(), want)
	}
}

// Only a command that saw the commit knows that it was superseded.
func TestWaitForWhatIsSuperseded(t *testing.T) {
	for _, test := range []struct {
		name    string
		more    []string
		newest  string
		last    string
		wantEnd int
	}{
		{"counts as not healthy", nil, v1alpha1.ReasonHealthy,
			"posts.review.first: c3c3c3c3 Syncing; commit b2b2b2b2 was superseded by c3c3c3c3 before it was healthy", exitDifferent},
		{"and the newer is as good", []string{"--allow-newer"}, v1alpha1.ReasonHealthy, "posts.review.first: c3c3c3c3 Healthy", 0},
		{"and the newer fails", []string{"--allow-newer"}, v1alpha1.ReasonFailed, "posts.review.first: c3c3c3c3 Failed", exitDifferent},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWatched(t)
			first := w.create("posts.review.first", "first")
			w.tell(first, wanted, v1alpha1.ReasonSyncing, "")
			w.berth(append([]string{"wait", "first", "--commit", wanted, "--kubeconfig", w.kubeconfig, "-n", w.namespace}, test.more...)...)
			w.expect("posts.review.first: b2b2b2b2 Syncing")
			if test.more == nil {
				first.Spec.Commit = newer
				if err := w.client.Update(t.Context(), first); err != nil {
					t.Fatal(err)
				}
			} else {
				w.tell(first, newer, test.newest, "")
				w.skip("posts.review.first: waiting for the agent")
			}
			w.expect(test.last)
			w.ends(test.wantEnd)
		})
	}
}

func TestAnEnvironmentThatGoes(t *testing.T) {
	w := newWatched(t)
	first := w.create("posts.review.first", "first")
	w.berth("retry", "first", "--kubeconfig", w.kubeconfig, "-n", w.namespace)
	w.expect("posts.review.first: waiting for the agent, which has not reconciled it yet")
	w.delete(first)
	w.expect("posts.review.first: it is gone")
	w.ends(exitDifferent)
}

// skip waits for the next line, which must be as expected.
func (w *watched) skip(want string) {
	w.t.Helper()
	if line := w.next(want); strings.TrimSpace(line) != want {
		w.t.Fatalf("got the line %q, want %q", line, want)
	}
}
