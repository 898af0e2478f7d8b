package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/reconciler/branches"
)

func TestNothingIsDeletedBecauseTheServerGlitches(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0", "f1", "f2", "f3")
	w.follow()
	w.healthy("main", "f0", "f1", "f2", "f3")
	usual := w.repository().Spec.Limits.FetchTimeout.Duration
	limits := func(d time.Duration) {
		w.changeRepository(func(r *v1alpha1.Repository) { r.Spec.Limits.FetchTimeout.Duration = d })
	}
	other := w.git.Repository("acme/other")
	other.Commit("main", content("other"), "begin")
	before := w.uids()
	elsewhere := func(e *gittest.Exchange) {
		e.HTTP.URL.Path = strings.Replace(e.HTTP.URL.Path, "/acme/posts.git", "/acme/other.git", 1)
		e.Answer()
	}
	for _, test := range []struct {
		name   string
		fault  gittest.Fault
		reason string
	}{
		{"it fails", gittest.Status(500), v1alpha1.ReasonUnreachable},
		{"it refuses", gittest.Status(401), v1alpha1.ReasonUnauthorized},
		{"it forbids", gittest.Status(403), v1alpha1.ReasonUnauthorized},
		{"it knows nothing", gittest.Status(404), v1alpha1.ReasonInvalid},
		{"it is busy", gittest.Status(503), v1alpha1.ReasonUnreachable},
		{"it has nothing", gittest.EmptyListing, v1alpha1.ReasonEmpty},
		{"it hangs", gittest.Hang, v1alpha1.ReasonUnreachable},
		{"it is cut off", gittest.Only(gittest.ListRefs, gittest.CutOff(80)), v1alpha1.ReasonUnreachable},
		{"it is another repository", elsewhere, v1alpha1.ReasonDoubtful},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.git.Misbehave(test.fault)
			if test.name == "it hangs" { // the others may take as long as a loaded machine needs
				limits(time.Second)
			}
			for range 3 {
				w.poll()
				w.pass(longGone)
			}
			if ready := meta.FindStatusCondition(w.repository().Status.Conditions, v1alpha1.ConditionReady); ready.Reason != test.reason {
				t.Errorf("Ready is %s: %s, want %s", ready.Reason, ready.Message, test.reason)
			}
			if after := w.uids(); !maps.Equal(before, after) {
				t.Errorf("before there was %v, now %v", before, after)
			}
			w.git.Behave()
			limits(usual)
			w.poll()
			if ready := meta.FindStatusCondition(w.repository().Status.Conditions, v1alpha1.ConditionReady); ready.Reason != v1alpha1.ReasonWatching {
				t.Errorf("afterwards Ready is %s: %s", ready.Reason, ready.Message)
			}
		})
	}
	t.Run("it lacks the default branch", func(t *testing.T) {
		w.code.SetDefault("nowhere")
		w.code.Delete("f0")
		for range 3 {
			w.poll()
			w.pass(longGone)
		}
		if after := w.uids(); !maps.Equal(before, after) {
			t.Errorf("before there was %v, now %v", before, after)
		}
	})
}

func TestWhoMergesAndDeletesAtOnceIsNotDoubted(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	w.code.Commit("main", content("two"), "first")
	w.code.Commit("main", content("three"), "second")
	w.code.Delete("f0")
	for range 2 {
		w.poll()
		w.pass(longGone)
	}
	w.poll()
	w.gone("f0")
	w.healthy("main")
}

func TestTheDeletionGuardBlocksUntilAUserConfirms(t *testing.T) {
	w := newWorld(t)
	names := numbered(8)
	w.branches("one", names...)
	w.follow()
	w.healthy(names...)
	before := w.uids()
	for _, name := range names[:6] {
		w.code.Delete(name)
	}
	for range 3 {
		w.poll()
		w.pass(longGone)
	}
	w.poll()
	if after := w.uids(); !maps.Equal(before, after) {
		t.Errorf("before there was %v, now %v", before, after)
	}
	if ready := meta.FindStatusCondition(w.repository().Status.Conditions, v1alpha1.ConditionReady); !strings.Contains(ready.Message, "6 of 9 environments") {
		t.Errorf("nothing shows what the deletion guard blocks: %s", ready.Message)
	}
	w.confirm()
	for _, name := range names[:6] {
		w.gone(name)
	}
	w.healthy("main", names[6], names[7])
}

func TestAConfirmationLetsGoWhatWasHeldAndNoMore(t *testing.T) {
	w := newWorld(t)
	names := numbered(12)
	held, since, stay := names[:6], names[6:11], names[11]
	w.branches("one", names...)
	w.follow()
	w.healthy(append(names, "main")...)
	for _, name := range held {
		w.code.Delete(name)
	}
	for range 2 {
		w.poll()
		w.pass(longGone)
	}
	w.poll()
	if got := w.repository().Status.Held; len(got) != len(held) {
		t.Fatalf("held are %q", got)
	}
	w.agent.stop() // the next agent does not know since when branches are gone
	w.askToConfirm()
	for _, name := range since {
		w.code.Delete(name)
	}
	w.start()
	w.poll()
	w.pass(longGone)
	w.poll()
	for _, name := range held {
		w.gone(name)
	}
	w.poll()
	w.eventually("the others are blocked", func() bool {
		status := w.repository().Status
		ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
		return strings.Contains(ready.Message, "5 of 7 environments") && len(status.Held) == len(since) && len(status.Confirmed) == 0
	})
	w.healthy("main", stay)
	for _, name := range since {
		if ns := w.space(name); ns == nil || !ns.DeletionTimestamp.IsZero() {
			t.Errorf("%s was never confirmed and is gone", name)
		}
	}
}

func TestTheDeletionGuardBlocksDeletionsByHand(t *testing.T) {
	w := newWorld(t)
	names := numbered(6)
	w.branches("one", names...)
	w.follow()
	w.healthy(names...)
	before := map[string]string{}
	goOn := w.stopClock() // the agent waits for a few seconds for more deletions
	for _, name := range names {
		before[name] = string(w.space(name).UID)
		if err := w.client.Delete(t.Context(), w.environment(name)); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("the agent has seen all deletions", func() bool {
		stay := slices.DeleteFunc(w.seen(), func(env v1alpha1.Environment) bool { return !env.DeletionTimestamp.IsZero() })
		return len(stay) == 1
	})
	goOn()
	for _, name := range names {
		if message := w.becomes(name, v1alpha1.ReasonWaiting); !strings.Contains(message, "6 of 7 environments") {
			t.Errorf("%s says %q", name, message)
		}
		if string(w.space(name).UID) != before[name] || !w.space(name).DeletionTimestamp.IsZero() {
			t.Errorf("the namespace of %s is deleted", name)
		}
	}
	w.confirm()
	for _, name := range names {
		w.eventually(name+" is re-created", func() bool {
			ns := w.space(name)
			return ns != nil && string(ns.UID) != before[name]
		})
	}
	w.healthy(names...)
}

func TestWhatIsDeletedByHandIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	production, preview := w.space("main").UID, w.space("f0").UID
	for _, branch := range []string{"main", "f0"} {
		if err := w.client.Delete(t.Context(), w.environment(branch)); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("the preview is re-created", func() bool { ns := w.space("f0"); return ns != nil && ns.UID != preview })
	w.healthy("main", "f0")
	if w.space("main").UID != production {
		t.Error("production was torn down although its entry says Orphan")
	}
}

func TestChangesOfEntries(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0", "g0")
	w.follow()
	w.healthy("main", "f0", "g0")
	before := w.uids()

	w.changeRepository(func(r *v1alpha1.Repository) { r.Spec.Environments[1].Name = "preview" })
	w.branches(`"two of ${ENVIRONMENT}, ${ENTRY}, ${CI_ENVIRONMENT_NAME}"`, "f0")
	w.poll()
	w.healthy("main", "f0", "g0")
	if after := w.uids(); !maps.Equal(before, after) || w.says("f0") != "two of posts.review.f0, review, review/f0" {
		t.Errorf("renaming an entry made of %v %v, and f0 says %q", before, after, w.says("f0"))
	}

	w.changeRepository(func(r *v1alpha1.Repository) {
		r.Spec.Environments[1].Branches = append(r.Spec.Environments[1].Branches, "!g0")
	})
	w.gone("g0")

	w.changeRepository(func(r *v1alpha1.Repository) { r.Spec.Environments[0].Namespace = w.namespace + "-other" })
	w.eventually("production says that it has moved", func() bool { return w.condition("main", v1alpha1.ConditionMoved) != "" })
	w.healthy("main")
	if err := w.client.Delete(t.Context(), w.environment("main")); err != nil { // as the message says
		t.Fatal(err)
	}
	w.eventually("production is re-created in the new namespace", func() bool {
		env := w.environment("main")
		return env != nil && env.Spec.Namespace == w.namespace+"-other"
	})
	w.healthy("main")
	warnings := w.environment("main").Status.Warnings
	if w.says("main") != "one" || slices.ContainsFunc(warnings, func(text string) bool { return strings.HasPrefix(text, "cannot delete") }) {
		t.Errorf("what production left in its old namespace says %q, and the new one warns: %q", w.says("main"), warnings)
	}

	w.changeRepository(func(r *v1alpha1.Repository) { r.Spec.Environments[1].Namespace = w.namespace + "-new-${BRANCH_SLUG}" })
	w.eventually("the preview has moved", func() bool {
		env := w.environment("f0")
		return w.space("f0") == nil && env != nil && env.Spec.Namespace == w.namespace+"-new-f0" && env.Status.HealthyCommit != ""
	})

	w.changeRepository(func(r *v1alpha1.Repository) { r.Spec.Environments = r.Spec.Environments[:1] })
	w.gone("f0")
	if w.space("main").UID != before[w.namespace+"-prod"] {
		t.Error("production was re-created")
	}
}

func TestARepositoryThatIsRemoved(t *testing.T) {
	for _, test := range []struct {
		name     string
		branches []string
		held     bool
	}{
		{"with few environments", numbered(2), false},
		{"with many", numbered(4), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.branches("one", test.branches...)
			w.follow()
			w.healthy(append(test.branches, "main")...)
			production := w.space("main").UID
			if err := w.client.Delete(t.Context(), w.repository()); err != nil {
				t.Fatal(err)
			}
			for _, branch := range test.branches {
				if w.becomes(branch, v1alpha1.ReasonWaiting); !test.held {
					w.eventually("people are told", func() bool { return w.readyMessageHas(branch, "its Repository posts does not exist since") })
				}
			}
			w.graceEnds()
			for _, branch := range test.branches {
				if test.held {
					w.changeEnvironment(branch, func(env *v1alpha1.Environment) { annotate(env, v1alpha1.AnnotationConfirmed, "yes") })
				}
			}
			for _, branch := range test.branches {
				w.gone(branch)
			}
			if ns := w.space("main"); ns == nil || ns.UID != production || w.says("main") != "one" {
				t.Error("production is gone although its entry says Orphan")
			}
		})
	}
}

// graceEnds waits until the environments of a deleted Repository may be deleted.
func (w *world) graceEnds() {
	w.t.Helper()
	w.pass(longGone)
	w.agent.repositories.Hook(types.NamespacedName{Namespace: w.namespace, Name: "posts"}) // requeues it, as a timer would
}

func TestARepositoryThatIsWrittenAgainInTimeKeepsEverything(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0", "f1")
	w.follow()
	w.healthy("main", "f0", "f1")
	before := w.uids()
	if err := w.client.Delete(t.Context(), w.repository()); err != nil {
		t.Fatal(err)
	}
	w.eventually("people are told", func() bool {
		return w.readyMessageHas("f0", "to keep it, re-create the Repository; to delete it now: berth delete posts.review.f0") &&
			w.readyMessageHas("main", "its objects stay")
	})
	w.branches("two", "f0")
	w.follow()
	w.healthy("main", "f0", "f1")
	w.pass(longGone)
	w.poll()
	if after := w.uids(); !maps.Equal(before, after) {
		t.Errorf("before there was %v, now %v", before, after)
	}
}

func TestABranchThatIsGoneIsShownAtOnce(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	w.code.Delete("f0")
	w.poll()
	w.eventually("people are told", func() bool {
		says := w.condition("f0", v1alpha1.ConditionBranchGone)
		return strings.HasPrefix(says, "its branch f0 is gone since 20") && strings.Contains(says, "; the environment will be deleted at 20") &&
			strings.HasSuffix(says, "; to keep it, push the branch again; to delete it now: berth delete posts.review.f0") &&
			w.readyMessageHas("f0", "its branch f0 is gone since")
	})
	if !branches.IsReason(w.environment("f0"), v1alpha1.ReasonHealthy) {
		t.Error("that the branch is gone says nothing of its health")
	}
	w.branches("two", "f0")
	w.poll()
	w.healthy("f0")
	w.eventually("and that it is back", func() bool {
		return w.condition("f0", v1alpha1.ConditionBranchGone) == "" && w.readyMessageHas("f0", "everything is as Git says")
	})
}

// The webhook that announces the deletion causes one listing, and the next poll may be a day away.
func TestABranchThatIsGoneIsDeletedInTimeHoweverRareThePollIs(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow(func(r *v1alpha1.Repository) { r.Spec.GoneAfter.Duration = time.Second })
	w.healthy("main", "f0")
	w.code.Delete("f0")
	w.poll()
	w.gone("f0")
}

func TestARepositoryThatIsMissingProvesNothing(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	before := w.uids()
	w.agent.stop()
	if err := w.client.Delete(t.Context(), w.repository()); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.becomes("f0", v1alpha1.ReasonWaiting)
	w.follow()
	w.healthy("main", "f0")
	if after := w.uids(); !maps.Equal(before, after) {
		t.Errorf("before there was %v, now %v", before, after)
	}
}

func TestALostEnvironmentIsWrittenAgain(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0", "f1")
	w.follow()
	w.healthy("main", "f0", "f1")
	spaces := map[string]string{"f0": string(w.space("f0").UID), "f1": string(w.space("f1").UID), "main": string(w.space("main").UID)}
	w.code.Delete("f1")
	w.agent.stop()
	for _, env := range w.environments() {
		env.Finalizers = nil
		if err := w.client.Update(t.Context(), &env); err != nil {
			t.Fatal(err)
		}
		if err := w.client.Delete(t.Context(), &env); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	w.healthy("main", "f0")
	w.eventually("the branch that is gone has an Environment again, and the agent sees it", func() bool { return len(w.seen()) == 3 })
	for branch, uid := range spaces {
		if ns := w.space(branch); ns == nil || string(ns.UID) != uid {
			t.Errorf("the namespace of %s was deleted", branch)
		}
	}
	w.pass(longGone)
	w.poll()
	w.pass(longGone)
	w.poll()
	w.gone("f1")
}

func TestASecondInstallationTouchesNothingOfTheFirst(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	before, began := w.uids(), time.Now()
	second := newWorldOn(t, cluster(t))
	second.code = w.code
	second.follow(func(r *v1alpha1.Repository) {
		r.Spec.URL = w.code.URL()
		for i := range r.Spec.Environments {
			r.Spec.Environments[i].Namespace = strings.Replace(r.Spec.Environments[i].Namespace, second.namespace, w.namespace, 1)
		}
	})
	second.becomes("f0", v1alpha1.ReasonFailed)
	second.becomes("main", v1alpha1.ReasonFailed)
	if err := second.client.Delete(t.Context(), second.repository()); err != nil {
		t.Fatal(err)
	}
	// The time counts from when the agent noticed the deletion.
	second.eventually("people are told", func() bool { return second.readyMessageHas("f0", "its Repository posts does not exist since") })
	second.graceEnds()
	second.eventually("the second is gone", func() bool { return len(second.environments()) == 0 })
	w.poll()
	w.healthy("main", "f0")
	if after, sent := w.uids(), w.deletions(began); !maps.Equal(before, after) || len(sent) > 0 {
		t.Errorf("before there was %v, now %v; sent was %q", before, after, sent)
	}
}

func TestNothingIsDeletedWithTheKinds(t *testing.T) {
	t.Parallel()
	w, began := newWorldOn(t, clustertest.Start(t, clustertest.Config{Audit: true})), time.Now()
	w.branches("one", "f0", "f1")
	w.follow()
	w.healthy("main", "f0", "f1")
	spaces := map[string]string{"f0": string(w.space("f0").UID), "f1": string(w.space("f1").UID), "main": string(w.space("main").UID)}
	for _, plural := range []string{"repositories", "environments"} {
		crd := &unstructured.Unstructured{}
		crd.SetAPIVersion("apiextensions.k8s.io/v1")
		crd.SetKind("CustomResourceDefinition")
		crd.SetName(plural + ".berth.dev")
		if err := w.client.Delete(t.Context(), crd); err != nil {
			t.Fatal(err)
		}
		w.eventually("the kind is gone", func() bool {
			return apierrors.IsNotFound(w.client.Get(t.Context(), client.ObjectKeyFromObject(crd), crd))
		})
	}
	w.agent.stop()
	installKinds(t, w.cluster)
	w.client = w.newClient()
	w.eventually("the kinds are served again", func() bool {
		return w.client.List(t.Context(), &v1alpha1.RepositoryList{}) == nil && w.client.List(t.Context(), &v1alpha1.EnvironmentList{}) == nil
	})
	w.start()
	w.follow()
	w.healthy("main", "f0", "f1")
	for branch, uid := range spaces {
		if ns := w.space(branch); ns == nil || string(ns.UID) != uid {
			t.Errorf("the namespace of %s was deleted", branch)
		}
	}
	if sent := w.deletions(began); len(sent) > 0 {
		t.Errorf("sent was %q", sent)
	}
}

// A mistake of an administrator may last for days.
func TestNothingIsDeletedWhileTheRepositoryIsInvalid(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	before, began := w.uids(), time.Now()
	for name, spoil := range map[string]func(*v1alpha1.RepositorySpec){
		"a day that no month has": func(s *v1alpha1.RepositorySpec) { s.Poll = "* * 0 * *" },
		"a zone that is nowhere":  func(s *v1alpha1.RepositorySpec) { s.TimeZone = "Nowhere/Land" },
		"an address of nothing":   func(s *v1alpha1.RepositorySpec) { s.URL = w.git.Repository("acme/empty").URL() },
		"no credentials":          func(s *v1alpha1.RepositorySpec) { s.SecretRef = &v1alpha1.SecretReference{Name: "missing"} },
	} {
		good := w.repository().Spec
		w.changeRepository(func(r *v1alpha1.Repository) { spoil(&r.Spec) })
		w.code.Delete("f0")
		for range 3 {
			w.poll()
			w.pass(longGone)
		}
		if ready := meta.FindStatusCondition(w.repository().Status.Conditions, v1alpha1.ConditionReady); ready.Status != metav1.ConditionFalse {
			t.Errorf("with %s, the Repository is %s", name, ready.Reason)
		}
		if after, sent := w.uids(), w.deletions(began); !maps.Equal(before, after) || len(sent) > 0 {
			t.Errorf("with %s: before there was %v, now %v; sent was %q", name, before, after, sent)
		}
		w.branches("two", "f0")
		w.changeRepository(func(r *v1alpha1.Repository) { r.Spec = good })
		w.healthy("main", "f0")
	}
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("f%d", i)
	}
	return names
}
