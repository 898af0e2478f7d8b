package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// TestGuard is about deletions that are blocked until a user confirms them.
func TestGuard(t *testing.T) {
	parts := func(from, to int) (parts []manifest.Object) {
		for i := from; i <= to; i++ {
			parts = append(parts, configMap(fmt.Sprintf("part-%d", i)))
		}
		return parts
	}
	secrets := schema.GroupKind{Kind: "Secret"}
	const (
		held    = "6 of 7 objects would be deleted at once; to allow it: berth confirm posts.production.main; or restore them in Git"
		nothing = "Git has no manifests: 1 of 1 objects would be deleted; to allow it: berth confirm posts.production.main; or restore the manifests"
		moved   = "the manifests are read from deploy of posts.git now, and were from k8s of posts.git: 1 of 2 objects would be deleted; to allow it: berth confirm posts.production.main; or restore url and path"
	)
	for _, c := range []struct {
		name  string
		story func(*world)
		// why is what blocks the deletions; empty: nothing does.
		why string
	}{
		{"five may go, whatever they are a part of", func(w *world) { left(w, parts(1, 5)...) }, ""},
		{"more than half of the environment at once is not believed", func(w *world) { left(w, parts(1, 6)...) }, held},
		{"exactly half may go", func(w *world) {
			w.git(parts(1, 12)...)
			w.settle()
			w.git(parts(7, 12)...)
		}, ""},
		{"until a user confirms it", func(w *world) {
			left(w, parts(1, 6)...)
			w.pass()
			w.confirms()
		}, ""},
		{"who may name what it is for", func(w *world) {
			left(w, parts(1, 6)...)
			w.confirmsOnly(w.pass().Guarded)
		}, ""},
		{"or who they are", func(w *world) {
			left(w, parts(1, 6)...)
			w.pass()
			w.in.Confirmation = "ada@example.com"
		}, ""},
		{"not for as many other objects, although the same number is blocked", func(w *world) {
			w.git(append(parts(1, 7), deployment("api"))...)
			w.settle()
			w.git(deployment("api"), configMap("part-7"))
			seen := w.pass().Guarded
			w.git(deployment("api"), configMap("part-1"))
			w.pass()
			w.confirmsOnly(seen)
		}, "6 of 8 objects would be deleted at once"},
		{"which counts once: not for what was not held yet", func(w *world) {
			w.git(append(parts(1, 6), deployment("api"))...)
			w.settle()
			w.confirms()
			w.pass()
			w.git(deployment("api"))
		}, held},
		{"not for deletions of a commit that no user has seen", func(w *world) {
			left(w, parts(1, 6)...)
			w.confirms()
		}, held},
		{"not for what a later commit deletes", func(w *world) {
			left(w, parts(1, 7)...)
			w.git(deployment("api"), configMap("part-7"), configMap("new"))
			w.pass()
			w.confirms()
			w.git(deployment("api"))
		}, "8 of 9 objects would be deleted at once"},
		{"and not for it where it has been used up, though the agent died before it told so", func(w *world) {
			left(w, parts(1, 6)...)
			w.pass()
			w.confirms()
			w.settle()
			left(w, parts(1, 6)...)
			w.pass()
		}, held},
		{"nor for more than was told", func(w *world) {
			left(w, append(parts(1, 6), object("v1", "Secret", "old"))...)
			w.unseen(secrets, observed.Unwatched, "secrets is forbidden")
			w.pass()
			w.confirms()
			delete(w.unknown, secrets)
		}, "7 of 8 objects would be deleted at once"},
		{"what was confirmed goes step by step, though the agent dies meanwhile", func(w *world) {
			left(w, append(parts(1, 6), deployment("old"))...)
			w.pass()
			w.confirms()
			w.crash(1)
			w.finish("Deployment/old")
		}, ""},
		{"an empty Git deletes nothing, however little there is", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.git()
		}, nothing},
		{"unless a user confirms it, too", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.git()
			w.pass()
			w.confirms()
		}, ""},
		{"what another folder does not say is not believed to be gone", func(w *world) {
			w.in.Origin = "k8s of posts.git"
			left(w, configMap("old"))
			w.in.Origin = "deploy of posts.git"
		}, moved},
		{"nor after the rollout of what it does say", func(w *world) {
			w.in.Origin = "k8s of posts.git"
			left(w, configMap("old"))
			w.in.Origin = "deploy of posts.git"
			w.settle()
		}, moved},
		{"until a user confirms it, either", func(w *world) {
			w.in.Origin = "k8s of posts.git"
			left(w, configMap("old"))
			w.in.Origin = "deploy of posts.git"
			w.pass()
			w.confirms()
		}, ""},
		{"which is where the manifests are from then on", func(w *world) {
			w.in.Origin = "k8s of posts.git"
			left(w, configMap("old"))
			w.in.Origin = "deploy of posts.git"
			w.pass()
			w.confirms()
			w.settle()
			left(w, configMap("old"))
		}, ""},
		{"a folder that says the same is no other one", func(w *world) {
			w.in.Origin = "k8s of posts.git"
			w.git(deployment("api"), configMap("old"))
			w.settle()
			w.in.Origin = "deploy of posts.git"
			w.settle()
			left(w, configMap("old"))
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.story(w)
			p, deletions := w.plan(), 0
			if (len(p.Guarded) > 0) != (c.why != "") {
				t.Errorf("the guard blocks %v", p.Guarded)
			}
			for _, s := range p.Steps {
				if s.Action != plan.Delete {
					continue
				}
				deletions++
				if c.why == "" && s.Blocked != "" || !strings.Contains(s.Blocked, c.why) {
					t.Errorf("%s is held by %q, want %q", s.Key.Short(), s.Blocked, c.why)
				}
			}
			if deletions == 0 || (p.State == plan.Waiting) != (c.why != "") {
				t.Errorf("with %d deletions, the plan is\n%s", deletions, p)
			}
		})
	}
}
