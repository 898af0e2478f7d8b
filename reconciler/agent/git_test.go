package agent

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/internal/gittest"
)

// These tests run an agent against a Git server whose branches and commits change in unusual ways.

func TestAForcePushReplacesWhatRuns(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	before := w.uids()
	for _, text := range []string{"two", "three"} {
		w.branches(text, "f0") // recreated from main
		w.git.Forget()
		w.poll()
		w.healthy("f0")
		if w.says("f0") != text || !maps.Equal(before, w.uids()) {
			t.Errorf("it runs %q, and there is %v, want the same as before: %v", w.says("f0"), w.uids(), before)
		}
		if fetches := w.git.Count(gittest.Fetch); fetches != 1 {
			t.Errorf("%d fetches, want one", fetches)
		}
	}
}

func TestABranchThatIsMadeAgainAtOnceIsTheSame(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("f0")
	before := w.uids()
	w.code.Delete("f0")
	w.poll()
	w.branches("two", "f0")
	w.poll()
	w.pass(longGone)
	w.poll()
	w.healthy("f0")
	if w.says("f0") != "two" || !maps.Equal(before, w.uids()) {
		t.Errorf("it runs %q, and there is %v, want the same as before: %v", w.says("f0"), w.uids(), before)
	}
}

// Production follows the branch that its entry names. Without it, nothing is deleted, and production runs on unchanged. Its
// namespace passes to the new branch only once a user renames it in the entry.
func TestTheDefaultBranchIsRenamed(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	production, review := w.space("main").UID, w.space("f0").UID
	w.code.Branch("trunk", w.code.Head("main"))
	w.code.SetDefault("trunk")
	w.code.Delete("main")
	for range 3 {
		w.poll()
		w.pass(longGone)
	}
	w.healthy("f0")
	if w.environment("trunk") != nil {
		t.Error("the pattern of the previews makes a preview of production")
	}
	if w.says("main") != "one" || w.space("main").UID != production || w.space("f0").UID != review {
		t.Errorf("production runs %q, in %v", w.says("main"), w.space("main"))
	}
	if ready := meta.FindStatusCondition(w.repository().Status.Conditions, v1alpha1.ConditionReady); !strings.Contains(ready.Message, "no branch main") || !strings.Contains(ready.Message, "the default branch trunk gets no environment") {
		t.Errorf("the Repository says %q", ready.Message)
	}

	w.changeRepository(func(r *v1alpha1.Repository) {
		r.Spec.Environments[0].Branches = []v1alpha1.BranchPattern{"trunk"}
		r.Spec.Environments[1].Branches = []v1alpha1.BranchPattern{"**", "!trunk"}
	})
	w.code.Commit("trunk", content("two"), "two")
	w.poll()
	w.eventually("production follows the new name", func() bool { return w.says("main") == "two" })
	if w.space("main").UID != production {
		t.Error("the namespace is a different one")
	}
}

func TestTheRepositoryIsEmptied(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0", "f1")
	w.follow()
	w.healthy("main", "f0", "f1")
	before, heads := w.uids(), map[string]string{}
	for _, branch := range []string{"main", "f0", "f1"} {
		heads["refs/heads/"+branch] = w.code.Head(branch)
		w.code.Delete(branch)
	}
	for range 3 {
		w.poll()
		w.pass(longGone)
	}
	w.readyIs(v1alpha1.ReasonEmpty)
	if after := w.uids(); !maps.Equal(before, after) {
		t.Errorf("before there was %v, now %v", before, after)
	}
	w.code.Refs(heads)
	w.poll()
	w.readyIs(v1alpha1.ReasonWatching)
	w.healthy("main", "f0", "f1")
	if after := w.uids(); !maps.Equal(before, after) {
		t.Errorf("before there was %v, afterwards %v", before, after)
	}
}

// The server is down for an hour; meanwhile one branch moves, one is deleted and one is created.
func TestTheServerIsDownForAnHour(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0", "f1")
	w.follow()
	w.healthy("main", "f0", "f1")
	before := w.uids()
	w.git.Misbehave(gittest.Status(503))
	w.code.Delete("f1")
	w.branches("two", "f0", "f2")
	for range 6 {
		w.poll()
		w.pass(10 * time.Minute)
	}
	w.readyIs(v1alpha1.ReasonUnreachable)
	if after := w.uids(); !maps.Equal(before, after) {
		t.Errorf("before there was %v, now %v", before, after)
	}
	w.restart()
	w.git.Behave()
	w.poll()
	w.healthy("main", "f0", "f2")
	if w.environment("f1") == nil || w.space("f1") == nil {
		t.Error("a branch that one listing lacks is gone already")
	}
	w.pass(longGone)
	w.poll()
	w.gone("f1")
}

// A commit outside an environment's path takes one write of the spec and one of the status.
func TestACommitBesideThePathIsOneWriteOfTheStatus(t *testing.T) {
	w := newWorld(t)
	w.follow()
	w.healthy("main")
	var seen []string
	commit, versions := w.versions("main", map[string]string{"README.md": "Read this.\n"})
	for _, env := range versions {
		seen = append(seen, fmt.Sprint(env.Status.AppliedCommit == commit, env.Status.HealthyCommit == commit))
	}
	if diff := cmp.Diff([]string{"false false", "true true"}, seen); diff != "" {
		t.Errorf("the Environment was written so (-want +got):\n%s", diff)
	}
}

// versions pushes a commit, and returns all versions of the Environment that have it.
func (w *world) versions(branch string, files map[string]string) (commit string, versions []*v1alpha1.Environment) {
	w.t.Helper()
	watcher, err := client.NewWithWatch(w.cluster.RESTConfig(), client.Options{Scheme: newScheme(w.t)})
	if err != nil {
		w.t.Fatal(err)
	}
	watch, err := watcher.Watch(w.t.Context(), &v1alpha1.EnvironmentList{}, client.InNamespace(w.namespace))
	if err != nil {
		w.t.Fatal(err)
	}
	defer watch.Stop()
	commit = w.code.Commit(branch, files, "explain")
	w.poll()
	w.healthy(branch)
	w.poll()
	w.changeEnvironment(branch, func(env *v1alpha1.Environment) { annotate(env, "example.com/last", "yes") })
	for event := range watch.ResultChan() {
		env, ok := event.Object.(*v1alpha1.Environment)
		if !ok || env.Annotations["example.com/last"] != "" {
			break
		}
		if env.Spec.Commit == commit {
			versions = append(versions, env)
		}
	}
	return commit, versions
}

// The times of the steps are in the writes that a sync takes anyway.
func TestTheStepsOfASyncCostNoWrite(t *testing.T) {
	w := newWorld(t)
	w.follow()
	w.healthy("main")
	commit, versions := w.versions("main", content("new"))
	if len(versions) < 2 {
		t.Fatalf("the Environment has %d versions", len(versions))
	}
	for n, env := range versions[1:] {
		before := versions[n].Status
		before.Sync = env.Status.Sync
		if equality.Semantic.DeepEqual(before, env.Status) {
			t.Errorf("a write changed nothing but the times, to %+v", env.Status.Sync)
		}
	}
	s := versions[len(versions)-1].Status.Sync
	if s == nil || s.Commit != commit || s.Fetch.Duration <= 0 || s.Render.Duration <= 0 || s.Apply.Duration <= 0 || s.Rollout.Duration <= 0 {
		t.Errorf("the sync took %+v", s)
	}
}

// Files of the store may become damaged at any time.
func TestACorruptStoreIsFetchedAnew(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	before := w.uids()
	for _, damage := range []func(pack string) error{
		os.Remove,
		func(pack string) error { return os.Truncate(pack, 40) },
		func(pack string) error { return os.Remove(strings.TrimSuffix(pack, "pack") + "idx") },
	} {
		w.agent.stop()
		packs, err := filepath.Glob(filepath.Join(w.stores, "posts", "git", "objects", "pack", "*.pack"))
		if err != nil || len(packs) == 0 {
			t.Fatalf("%q, %v", packs, err)
		}
		if err := damage(packs[0]); err != nil {
			t.Fatal(err)
		}
		text := rand.Text()
		w.code.Commit("f0", content(text), text)
		w.start()
		w.poll()
		w.healthy("main", "f0")
		if w.says("f0") != text || !maps.Equal(before, w.uids()) {
			t.Errorf("it runs %q, and there is %v, want the same as before: %v", w.says("f0"), w.uids(), before)
		}
	}
}

func TestAPinThatTheServerDoesNotHave(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("f0")
	for _, digit := range []string{"d", "e"} {
		w.changeEnvironment("f0", func(env *v1alpha1.Environment) { env.Spec.Pin = apitest.Commit(digit) })
		message := w.becomes("f0", v1alpha1.ReasonFailed)
		for _, part := range []string{
			"spec.pin names a commit that cannot be fetched", "commit " + strings.Repeat(digit, 10), "the server says",
			"berth pin " + w.environment("f0").Name + " --unpin", "the environment keeps running commit " + w.code.Head("f0")[:8],
		} {
			if !strings.Contains(message, part) {
				t.Errorf("%q does not say %q", message, part)
			}
		}
		if w.says("f0") != "one" {
			t.Errorf("with a pin that cannot be fetched, the branch runs %q", w.says("f0"))
		}
		w.restart()
	}
}

// A server that serves only heads may be reconfigured to serve more, without the agent being notified.
func TestAPinThatTheServerRefusesIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.git.IgnoreProtocolV2()
	w.code.Configure("uploadpack.allowReachableSHA1InWant", "false")
	w.branches("one", "f0")
	old := w.code.Head("f0")
	w.branches("two", "f0") // a forced push: no branch contains the old commit
	w.follow()
	w.healthy("f0")
	w.changeEnvironment("f0", func(env *v1alpha1.Environment) { env.Spec.Pin = old })
	if message := w.becomes("f0", v1alpha1.ReasonFailed); !strings.Contains(message, "uploadpack.allowReachableSHA1InWant") || w.says("f0") != "two" {
		t.Errorf("it runs %q: %s", w.says("f0"), message)
	}
	w.code.Configure("uploadpack.allowAnySHA1InWant", "true")
	w.pass(longGone)
	w.becomes("f0", v1alpha1.ReasonHealthy)
	if w.says("f0") != "one" {
		t.Errorf("it runs %q", w.says("f0"))
	}
}

// One replica of a server may briefly lack a commit that another one has listed.
func TestACommitThatCanBeHadAtTheNextPollIsFollowedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	w.git.Misbehave(gittest.Only(gittest.Fetch, func(e *gittest.Exchange) {
		const answer = "ERR upload-pack: not our ref"
		e.Writer.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		fmt.Fprintf(e.Writer, "%04x%s", len(answer)+4, answer)
	}))
	w.branches("two", "f0")
	w.poll()
	if message := w.becomes("f0", v1alpha1.ReasonFailed); !strings.Contains(message, "not our ref") {
		t.Errorf("it says %q", message)
	}
	w.git.Behave()
	w.poll()
	w.healthy("f0")
	if w.says("f0") != "two" {
		t.Errorf("it runs %q", w.says("f0"))
	}
}

// Raising a limit, like replacing a key, triggers a new listing.
func TestWhatWasTooLargeIsReadWhenTheLimitIsRaised(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	w.changeRepository(func(r *v1alpha1.Repository) { r.Spec.Limits.FileBytes = resource.MustParse("10") })
	w.branches("two", "f0")
	w.poll()
	if message := w.becomes("f0", v1alpha1.ReasonFailed); !strings.Contains(message, "app.yaml") || !strings.Contains(message, "limits.fileBytes") {
		t.Errorf("it says %q", message)
	}
	w.changeRepository(func(r *v1alpha1.Repository) { r.Spec.Limits.FileBytes = resource.MustParse("1Mi") })
	w.healthy("f0")
}

func TestWebhooksThatStopAreWarnedOfOnce(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow(func(r *v1alpha1.Repository) {
		r.Spec.Webhook = &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: "posts-webhook"}}
	})
	w.healthy("f0")
	pushes := 0
	push := func(tell func()) {
		pushes++
		text := fmt.Sprint("push-", pushes)
		w.branches(text, "f0")
		tell()
		w.healthy("f0")
		w.pass(2 * time.Minute)
		w.poll()
		w.poll() // by now the first warning has been sent
	}
	silently := w.poll
	told := func() {
		before := w.repository().Status.LastHookTime
		w.agent.repositories.Hook(types.NamespacedName{Namespace: w.namespace, Name: "posts"})
		w.eventually("the status shows the webhook", func() bool { return !w.repository().Status.LastHookTime.Equal(before) })
	}
	push(silently)
	w.warnedOfHooks(0) // none ever arrived
	push(told)
	w.warnedOfHooks(0)
	push(silently)
	push(silently)
	w.warnedOfHooks(1)
	push(told)
	push(silently)
	w.warnedOfHooks(2)
}

// warnedOfHooks waits until there are so many warnings of missing webhooks, and checks that there are no more.
func (w *world) warnedOfHooks(want int) {
	w.t.Helper()
	got := 0
	w.eventually(fmt.Sprintf("%d warnings of missing webhooks are there", want), func() bool {
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: "events.k8s.io", Version: "v1", Kind: "EventList"})
		if err := w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace)); err != nil {
			w.t.Fatal(err)
		}
		got = 0
		for _, event := range list.Items {
			if event.Object["reason"] == "HookMissed" {
				got++
			}
		}
		return got >= want
	})
	if got != want {
		w.t.Errorf("%d warnings, want %d", got, want)
	}
}

// readyIs checks the Ready reason of the Repository.
func (w *world) readyIs(reason string) {
	w.t.Helper()
	if ready := meta.FindStatusCondition(w.repository().Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Reason != reason {
		w.t.Errorf("the Repository says %v, want %s", ready, reason)
	}
}

// TestTooManyBranchesDoNotStopProduction pushes more branches than a repository may have.
func TestTooManyBranchesDoNotStopProduction(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow(func(r *v1alpha1.Repository) { r.Spec.Limits.Branches = 10 })
	w.healthy("main", "f0")
	before := w.uids()
	many := map[string]string{}
	for i := range 10 {
		many[fmt.Sprintf("refs/heads/main-%d", i)] = w.code.Head("main")
	}
	w.code.Refs(many)
	w.code.Commit("main", content("two"), "production goes on")
	w.poll()
	w.healthy("main")
	ready := meta.FindStatusCondition(w.repository().Status.Conditions, v1alpha1.ConditionReady)
	if ready.Reason != v1alpha1.ReasonTooLarge || !strings.Contains(ready.Message, "more than 10 branches; delete unused branches, or raise limits.branches") {
		t.Errorf("the Repository says %s: %q", ready.Reason, ready.Message)
	}
	if w.says("main") != "two" || !maps.Equal(before, w.uids()) {
		t.Errorf("production runs %q, and there is %v, want the same as before: %v", w.says("main"), w.uids(), before)
	}
	w.restart()
	w.code.Commit("main", content("three"), "after a restart, too")
	w.poll()
	w.healthy("main")
	if !maps.Equal(before, w.uids()) {
		t.Errorf("after a restart there is %v, want the same as before: %v", w.uids(), before)
	}
	for range 4 {
		w.poll() // so that polls spare the whole listing for minutes, however slow this machine is
	}
	whole := atomic.Int64{}
	countWhole := gittest.Only(gittest.ListRefs, func(e *gittest.Exchange) {
		body, _ := io.ReadAll(e.HTTP.Body)
		e.HTTP.Body = io.NopCloser(bytes.NewReader(body))
		if !bytes.Contains(body, []byte("refs/heads/main")) {
			whole.Add(1)
		}
		e.Answer()
	})
	w.git.Misbehave(countWhole)
	w.changeRepository(func(r *v1alpha1.Repository) { r.Spec.Poll = "@every 1s" })
	w.eventually("the change has all branches listed", func() bool { return whole.Load() == 1 })
	w.code.Commit("main", content("four"), "polls go on without the whole listing")
	w.healthy("main")
	if w.says("main") != "four" || whole.Load() != 1 {
		t.Errorf("production runs %q, and all branches were listed %d times, want once", w.says("main"), whole.Load())
	}

	counting := whole.Load()
	w.git.Misbehave(gittest.Status(503))
	w.poll()
	w.git.Misbehave(countWhole)
	w.eventually("a server that was away is asked at every poll again", func() bool { return whole.Load() > counting })
}

func TestBranchesBeyondTheLimitAreLeftOut(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f5", "f6")
	w.follow(func(r *v1alpha1.Repository) { r.Spec.Limits.Environments = 3 })
	w.healthy("main", "f5", "f6")
	w.branches("one", "a-1", "a-2", "gnp\u202efdp")
	w.poll()
	w.healthy("a-1")
	if w.environment("a-2") != nil || len(w.environments()) != 4 {
		t.Errorf("there are %d environments", len(w.environments()))
	}
	left := meta.FindStatusCondition(w.repository().Status.Conditions, v1alpha1.ConditionBranchesLeftOut)
	want := `1 branch left out because of the name: "gnp\u202efdp" has the invisible character U+202E; rename or delete it. 1 branch left out: limits.environments is 3; delete branches, narrow the patterns of the entries, or raise it`
	if left == nil || left.Reason != v1alpha1.ReasonTooMany || left.Message != want {
		t.Errorf("the Repository says %+v", left)
	}
	if ready := meta.FindStatusCondition(w.repository().Status.Conditions, v1alpha1.ConditionReady); ready.Status != metav1.ConditionTrue {
		t.Errorf("Ready is %+v", ready)
	}
	w.code.Delete("f5")
	w.poll()
	w.pass(longGone)
	w.poll()
	w.gone("f5")
	w.poll()
	w.healthy("a-2")
}

func TestALargeFirstFetchShowsItsProgress(t *testing.T) {
	w := newWorld(t)
	w.agent.stop()
	w.progress = 20 * time.Millisecond
	w.start()
	fetching := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(fetching) })
	t.Cleanup(goOn) // before the server waits for its last answers
	w.git.Misbehave(gittest.Only(gittest.Fetch, func(e *gittest.Exchange) {
		<-fetching
		e.Answer()
	}))
	w.follow()
	says := func(condition string) string {
		c := meta.FindStatusCondition(w.repository().Status.Conditions, condition)
		if c == nil {
			return ""
		}
		return c.Reason + ": " + c.Message
	}
	w.eventually("the Repository shows that a fetch goes on", func() bool {
		want := "Fetching: fetching commits: the server is preparing them"
		return says(v1alpha1.ConditionReady) == want && says(v1alpha1.ConditionReconciling) == want
	})
	goOn()
	w.healthy("main")
	w.eventually("nothing is left of it", func() bool {
		return says(v1alpha1.ConditionReady) == "Watching: following 1 branch" && says(v1alpha1.ConditionReconciling) == ""
	})
}
