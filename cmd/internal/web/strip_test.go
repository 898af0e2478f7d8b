package web

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/health"
)

func TestTheStripShowsWhereACommitStands(t *testing.T) {
	const current, newer = "1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b", "9f8e7d6c5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b"
	healthy, half, failed := group{Title: "Wave 0", Healthy: 2, Total: 2, Tone: toneGood}, group{Title: "Wave 1", Healthy: 1, Total: 2, Tone: toneBusy}, group{Title: "Wave 1", Total: 2, Tone: toneBad}
	for name, test := range map[string]struct {
		reason          string
		target, applied string
		unhealthy       health.Status
		fresh           bool // nothing was ever applied
		groups          []group
		want            string
	}{
		"everything is healthy":              {v1alpha1.ReasonHealthy, current, current, "", false, []group{healthy}, "good good good good good"},
		"a newer commit was pushed":          {v1alpha1.ReasonHealthy, newer, current, "", false, []group{healthy}, "busy good good good good"},
		"the first commit is read":           {v1alpha1.ReasonSyncing, current, "", "", true, nil, "good busy idle idle idle"},
		"it waits for a slot":                {v1alpha1.ReasonQueued, current, "", "", true, nil, "good idle idle idle idle"},
		"a wave is applied":                  {v1alpha1.ReasonSyncing, current, newer, "", false, []group{healthy, half}, "good good busy busy idle"},
		"the last wave settles":              {v1alpha1.ReasonSyncing, current, current, "", false, []group{healthy, half}, "good good good busy idle"},
		"its manifests are refused":          {v1alpha1.ReasonFailed, current, newer, "", false, []group{healthy}, "good bad idle idle idle"},
		"a wave fails before the last":       {v1alpha1.ReasonFailed, current, newer, health.Failed, false, []group{healthy, failed}, "good good bad bad idle"},
		"the rollout fails":                  {v1alpha1.ReasonFailed, current, current, health.Failed, false, []group{healthy, failed}, "good good good bad idle"},
		"it was healthy and no longer is":    {v1alpha1.ReasonDegraded, current, current, health.Failed, false, []group{healthy, failed}, "good good good bad idle"},
		"the last healthy commit runs again": {v1alpha1.ReasonRolledBack, newer, current, "", false, []group{healthy}, "good good good warn good"},
	} {
		t.Run(name, func(t *testing.T) {
			env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Commit: test.target}, Status: v1alpha1.EnvironmentStatus{
				ShortCommit: current[:8], AppliedCommit: test.applied, Link: "https://a.example.com",
				Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: test.reason}},
			}}
			if !test.fresh {
				env.Status.Objects = &v1alpha1.ObjectCount{}
			}
			if test.unhealthy != "" {
				env.Status.Unhealthy = []v1alpha1.UnhealthyObject{{Health: string(test.unhealthy)}}
			}
			var got []string
			for _, step := range stripOf(env, test.groups) {
				got = append(got, string(step.Tone))
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestTheStripHasTimes(t *testing.T) {
	began := metav1.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	env := &v1alpha1.Environment{Status: v1alpha1.EnvironmentStatus{ShortCommit: "1a2b3c4d", Objects: &v1alpha1.ObjectCount{}, Conditions: []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Reason: v1alpha1.ReasonSyncing}, {Type: v1alpha1.ConditionReconciling, LastTransitionTime: began},
	}}}
	env.Spec.Commit = "1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b"
	job := func(took time.Duration) object {
		return object{Object: inspect.Object{Kind: "Job", Took: metav1.Duration{Duration: took}}}
	}
	groups := []group{{Title: "Wave -1", Healthy: 2, Total: 2, Objects: []object{job(4 * time.Second), job(3 * time.Second)}}, {Title: "Wave 0", Total: 1, Objects: []object{job(2 * time.Second)}}}
	if steps := stripOf(env, groups); steps[2].Since != began.Time || !steps[3].Since.IsZero() {
		t.Errorf("the steps are %+v, want the time in the first one that goes on", steps)
	}
	env.Status.AppliedCommit = env.Spec.Commit
	if got, want := stripOf(env, groups)[2].Detail, "2 of 2 applied, Jobs took 6s"; got != want {
		t.Errorf("the waves are %q, want %q", got, want)
	}
}

func TestLinksToTheGitServer(t *testing.T) {
	commit := strings.Repeat("1a2b", 10)
	for url, want := range map[string][4]string{
		"https://gitlab.example.com/a/b.git": {"https://gitlab.example.com/a/b/commit/" + commit, "https://gitlab.example.com/a/b/-/tree/x/y%3F",
			"https://gitlab.example.com/a/b/-/merge_requests?state=all&source_branch=x%2Fy%3F", "https://gitlab.example.com/a/b/-/blob/" + commit + "/c/d%23.yaml#L3"},
		"ssh://git@github.com:22/a/b": {"https://github.com/a/b/commit/" + commit, "https://github.com/a/b/tree/x/y%3F",
			"https://github.com/a/b/pulls?q=is%3Apr+head%3Ax%2Fy%3F", "https://github.com/a/b/blob/" + commit + "/c/d%23.yaml#L3"},
		"http://gitea.local:3000/a/b/": {"http://gitea.local:3000/a/b/commit/" + commit, "http://gitea.local:3000/a/b/src/branch/x/y%3F", "",
			"http://gitea.local:3000/a/b/src/commit/" + commit + "/c/d%23.yaml#L3"},
		"https://git.example.com/a/b": {"https://git.example.com/a/b/commit/" + commit, "", "", ""},
		"file:///srv/b.git":           {"", "", "", ""},
	} {
		f := forgeOf(&v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{URL: url}})
		if got := [4]string{f.commit(commit), f.branch("x/y?"), f.requests("x/y?"), f.file(commit, "c/d#.yaml", 3)}; got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", url, got, want)
		}
	}
	if got := (forge{base: "https://a"}).commit("1a2b3c4d"); got != "" {
		t.Errorf("a short commit leads to %q", got)
	}
}

func TestOnlyAddressesOfTheWebAreLinks(t *testing.T) {
	for address, want := range map[string]string{
		"https://a.example.com/b?c": "https://a.example.com/b?c", "http://a": "http://a",
		"javascript:alert(1)": "", "JavaScript:alert(1)": "", "data:text/html,a": "", "//a.example.com": "", "a": "", "": "",
		"https://user:password@a.example.com": "", "ftp://a": "", " https://a": "", "https://": "",
	} {
		if got := webAddress(address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}
