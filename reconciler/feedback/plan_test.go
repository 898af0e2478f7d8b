package feedback

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/fields"
	"berth.dev/berth/reconciler/proposals"
	"berth.dev/berth/source/forge"
)

var update = flag.Bool("update", false, "write the golden files")

// plans are those of the golden files. docs/merge-requests.md shows the first.
var plans = map[string]proposals.Plan{
	"plan.md": {Environment: "posts.production.main", Commit: commitA, Encrypted: true, Changes: []proposals.Change{
		{Verb: proposals.Runs, Object: "Job/migrate", Origin: "infra/k8s/migrate.yaml:1", Fields: []fields.Change{
			{Path: "spec.template.spec.containers[migrate].image", Old: "registry.example.com/posts:1.4", New: "registry.example.com/posts:1.5"}}},
		{Verb: proposals.Changed, Object: "Secret/posts", Origin: "infra/production/secret.yaml:1", Keys: 2, Unproved: "it is encrypted, and the plan does not decrypt it"},
		{Verb: proposals.Changed, Object: "ConfigMap/nginx", Origin: "infra/k8s/nginx.yaml:1", Fields: []fields.Change{
			{Path: "data.default.conf", New: proposals.Lines{Added: 2, Removed: 1}}}},
		{Verb: proposals.Changed, Object: "Deployment/api", Origin: "infra/k8s/api.yaml:1", Fields: []fields.Change{
			{Path: "spec.replicas", Old: int64(2), New: int64(3)},
			{Path: "spec.template.spec.containers[api].image", Old: "registry.example.com/posts:1.4", New: "registry.example.com/posts:1.5"}}},
		{Verb: proposals.Added, Object: "Ingress/admin", Origin: "infra/k8s/admin.yaml:12",
			Refused: "infra/k8s/admin.yaml:12: Ingress/posts/admin: spec.rules[0].host: must end with .example.com; correct it in Git, or ask an administrator of the cluster for an exception"},
		{Verb: proposals.Removed, Object: "Deployment/worker", Origin: "infra/k8s/worker.yaml:1"},
		{Verb: proposals.Kept, Object: "PersistentVolumeClaim/uploads", Origin: "infra/k8s/uploads.yaml:1", Reason: "its kind keeps data; delete it by hand, or set berth.dev/prune: allow in Git before it leaves"},
	}},
	"problem.md": {Environment: "posts.production.main", Commit: commitB, Problems: []string{"infra/k8s/api.yaml:3: this is not valid YAML; check the indentation"}},
	"guard.md": {Environment: "posts.production.main", Commit: commitB, Remarks: []string{"the environment is suspended: nothing happens before it is resumed"}, Changes: []proposals.Change{
		{Verb: proposals.Removed, Object: "Service/a", Origin: "k8s/a.yaml:1", Held: "6 of 8 objects would be deleted at once; to allow it: berth confirm posts.production.main; or restore them in Git"},
		{Verb: proposals.Removed, Object: "Service/b", Origin: "k8s/b.yaml:1", Held: "6 of 8 objects would be deleted at once; to allow it: berth confirm posts.production.main; or restore them in Git"},
	}},
	"hostile.md": {Environment: "posts.production.main", Commit: commitB, Changes: []proposals.Change{
		{Verb: proposals.Changed, Object: "ConfigMap/@all", Origin: "k8s/`x`|\n/close.yaml:1", Reason: "<b>\n/merge", Refused: "![](https://evil.example.com) @ada\n/approve", Unproved: "\u202e</details>",
			Fields: []fields.Change{{Path: "data.`|<script>", Old: "@all", New: "/close `x` | <b>"}, {Path: "data.text", Old: nil, New: []any{"<img src=x>\n/close"}}}},
	}},
}

func TestPlansInNotes(t *testing.T) {
	for name, plan := range plans {
		t.Run(name, func(t *testing.T) {
			got := plansOf("main", []proposals.Plan{plan, {Environment: "posts.empty.main"}}, maxNote)
			file := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for line := range strings.Lines(got) {
				if strings.HasPrefix(strings.TrimLeft(line, " "), "/") {
					t.Errorf("a line begins with a slash: %s", line)
				}
			}
		})
	}
}

// The docs show what a note has, and not what its author remembers.
func TestTheDocsShowThePlan(t *testing.T) {
	docs, err := os.ReadFile("../../docs/merge-requests.md")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := os.ReadFile("testdata/plan.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(docs), "```markdown\n"+string(plan)+"```") {
		t.Error("docs/merge-requests.md does not have testdata/plan.md")
	}
}

func TestAPlanIsBounded(t *testing.T) {
	large := proposals.Plan{Environment: "posts.production.main"}
	for range 1000 {
		c := proposals.Change{Verb: proposals.Changed, Object: strings.Repeat("o", 1000), Refused: strings.Repeat("r", 10_000)}
		for range 100 {
			c.Fields = append(c.Fields, fields.Change{Path: strings.Repeat("p", 1000), Old: strings.Repeat("v", 1000), New: "x"})
		}
		large.Changes = append(large.Changes, c)
	}
	for _, most := range []int{maxNote, 1000} {
		if got := plansOf("main", []proposals.Plan{large}, most); len(got) > min(most, maxPlan)+100 || !strings.Contains(got, "and more") {
			t.Errorf("%d bytes of %d", len(got), most)
		}
	}
	if got := plansOf("main", nil, maxNote); got != "" {
		t.Errorf("no plan is %q", got)
	}
}

// planner is a Planner whose plans a test makes.
type planner struct {
	office *office
	plans  map[proposals.Subject]proposals.Plan
	keys   map[proposals.Subject]string
	wants  map[proposals.Subject]proposals.Want
	asked  int
	// outdated says that the plans are of an earlier push.
	outdated bool
}

func (p *planner) Want(w proposals.Want) {
	p.office.mu.Lock()
	defer p.office.mu.Unlock()
	if p.wants[w.Subject] != w {
		p.asked++
	}
	p.wants[w.Subject] = w
}

func (p *planner) Planned(s proposals.Subject) (proposals.Plan, string) {
	p.office.mu.Lock()
	defer p.office.mu.Unlock()
	return p.plans[s], p.keys[s]
}

func (p *planner) Retain(_ types.NamespacedName, keep map[proposals.Subject]bool) {
	p.office.mu.Lock()
	defer p.office.mu.Unlock()
	for s := range p.wants {
		if !keep[s] {
			delete(p.wants, s)
			delete(p.plans, s)
			delete(p.keys, s)
		}
	}
}

// makes makes the plans that are wanted: each changes one object with a name.
func (p *planner) makes(object string) {
	p.office.mu.Lock()
	for s, w := range p.wants {
		p.keys[s] = w.Key
		p.plans[s] = proposals.Plan{Environment: s.Environment, Commit: w.Commit}
		if object != "" {
			p.plans[s] = proposals.Plan{Environment: s.Environment, Commit: w.Commit, Outdated: p.outdated, Changes: []proposals.Change{{Verb: proposals.Added, Object: object}}}
		}
	}
	p.office.mu.Unlock()
	p.office.sender.Planned(client.ObjectKeyFromObject(p.office.repo))
}

// plansToo returns an office whose Repository plans merge requests.
func plansToo(t *testing.T, envs ...*v1alpha1.Environment) (*office, *planner) {
	p := &planner{plans: map[proposals.Subject]proposals.Plan{}, keys: map[proposals.Subject]string{}, wants: map[proposals.Subject]proposals.Want{}}
	o := opensWith(t, p, envs...)
	o.change(func() { o.repo.Spec.Feedback.Plan = &v1alpha1.MergePlan{} })
	o.sender.Follow(o.repo)
	return o, p
}

// note returns the text of a note.
func (o *office) note(id int64) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bodies[id]
}

func into(number int64, branch, head string) forge.MergeRequest {
	return forge.MergeRequest{Number: number, Branch: branch, Target: "main", Head: head}
}

func TestAMergeRequestIsPlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := plansToo(t, environment("main", "Healthy", ""), environment("side", "Healthy", ""))
		o.said(time.Minute)
		o.change(func() { o.open = []forge.MergeRequest{into(7, "side", commitA)} })
		heard := func() { o.sender.Heard(client.ObjectKeyFromObject(o.repo)) }
		heard()
		o.wants("the note does not wait for the plan", time.Minute, "list", "merge !7 a", "note 1007 in !7 Healthy")
		if strings.Contains(o.note(1007), "Merging") {
			t.Errorf("a plan before it is there:\n%s", o.note(1007))
		}
		p.makes("ConfigMap/new")
		o.wants("then it has the plan", time.Minute, "note 1007 in !7 Healthy")
		if !strings.Contains(o.note(1007), "➕ added `ConfigMap/new`") {
			t.Errorf("no plan:\n%s", o.note(1007))
		}
		heard()
		o.wants("another webhook asks for nothing else", time.Minute, "list")
		o.stop()
		o.starts()
		o.wants("a restart plans nothing", time.Minute, "list")
		o.change(func() { o.open = []forge.MergeRequest{into(7, "side", commitB)} })
		heard()
		o.wants("a push is planned", time.Minute, "list", "merge !7 b")
		p.makes("ConfigMap/other")
		o.wants("and replaces the plan", time.Minute, "note 1007 in !7 Healthy")
		if text := o.note(1007); strings.Contains(text, "ConfigMap/new") || !strings.Contains(text, "ConfigMap/other") {
			t.Errorf("the plan is not replaced:\n%s", text)
		}
		o.becomes("main", "Healthy", commitB)
		o.wants("a push to the target is planned", time.Minute, "berth/production b Success", "list", "merge !7 b")
		p.makes("")
		o.wants("a merge that changes nothing has no plan", time.Minute, "note 1007 in !7 Healthy")
		if text := o.note(1007); strings.Contains(text, "Merging") {
			t.Errorf("there is a plan:\n%s", text)
		}
		p.makes("")
		o.wants("and nothing more is asked for", 24*time.Hour)
		o.stop()
	})
}

// A branch without an environment gets a note only for a plan.
func TestAMergeRequestWithoutAnEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := plansToo(t, environment("main", "Healthy", ""))
		o.change(func() {
			o.open = []forge.MergeRequest{into(7, "fix", commitA), into(8, "docs", commitA), {Number: 9, Branch: "fix", Target: "other", Head: commitA}}
		})
		o.said(time.Minute)
		p.makes("")
		o.wants("nothing changes", time.Minute)
		o.change(func() { o.open[0].Head = commitB })
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.wants("a push", time.Minute, "list", "merge !7 b")
		p.makes("ConfigMap/new")
		o.wants("changes something", time.Minute, "note 1007 in !7 removed")
		if text := o.note(1007); !strings.Contains(text, "ConfigMap/new") || strings.Contains(text, "Removed") || strings.Contains(text, "Environments of") {
			t.Errorf("the note is\n%s", text)
		}
		o.stop()
		o.starts()
		o.wants("a restart repeats nothing", time.Minute, "list")
		if p.asked != 3 {
			t.Errorf("%d plans were wanted", p.asked)
		}
		o.change(func() { o.open = o.open[1:] })
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.wants("it is merged", time.Minute, "list", "note 1007 in !7 removed")
		if text := o.note(1007); strings.Contains(text, "ConfigMap/new") || !strings.Contains(text, "no plan of this merge request any more") {
			t.Errorf("the note is\n%s", text)
		}
		o.wants("once", 24*time.Hour)
		o.stop()
		o.starts()
		o.wants("also after a restart", time.Minute, "list")
		o.stop()
	})
}

// An edit of a note moves its merge request to the front of the list. It must not end the plan of another one, whose note would
// then be edited, and so on.
func TestEditsOfNotesDoNotChooseWhatIsPlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := plansToo(t, environment("main", "Healthy", ""))
		o.change(func() {
			for i := range int64(maxPlanned + 10) {
				o.open = append(o.open, into(100-i, fmt.Sprint("fix-", i), commitA))
				o.open = append(o.open, forge.MergeRequest{Number: 200 + i, Branch: fmt.Sprint("other-", i), Target: "other", Head: commitA})
			}
		})
		heard := func(front int64) {
			o.change(func() {
				at := slices.IndexFunc(o.open, func(m forge.MergeRequest) bool { return m.Number == front })
				m := o.open[at]
				o.open = slices.Insert(slices.Delete(o.open, at, at+1), 0, m)
			})
			o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		}
		heard(100)
		o.said(time.Minute)
		if p.asked != maxPlanned {
			t.Fatalf("%d plans were wanted", p.asked)
		}
		p.makes("ConfigMap/new")
		o.said(time.Minute)
		heard(45)
		o.wants("one that is not planned moves to the front", time.Minute, "list")
		heard(60)
		o.wants("one that is planned, too", time.Minute, "list")
		o.change(func() {
			at := slices.IndexFunc(o.open, func(m forge.MergeRequest) bool { return m.Number == 45 })
			o.open[at].Head = commitB
		})
		heard(45)
		o.wants("a push is planned, in place of the oldest", time.Minute, "list", "note 1051 in !51 removed", "merge !45 b")
		o.stop()
	})
}

// What a fork brings is rendered and validated only if the Repository says so. Its branch is not the repository's of that name.
func TestMergeRequestsOfForks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := plansToo(t, environment("main", "Healthy", ""), environment("side", "Failed", "x"))
		fork := into(7, "side", commitA)
		fork.Fork = true
		o.change(func() { o.open = []forge.MergeRequest{fork} })
		o.said(time.Minute)
		if p.asked != 0 || len(o.bodies) != 0 {
			t.Errorf("%d plans were wanted, and the notes are %v", p.asked, o.bodies)
		}
		o.change(func() { o.repo.Spec.Feedback.Plan.Forks = true })
		o.sender.Follow(o.repo)
		o.wants("forks are planned", time.Minute, "list", "merge !7 a")
		p.makes("ConfigMap/new")
		o.said(time.Minute)
		if text := o.note(1007); !strings.Contains(text, "ConfigMap/new") || strings.Contains(text, "Environments of") {
			t.Errorf("the note is\n%s", text)
		}
		o.change(func() { o.repo.Spec.Feedback.Plan = nil })
		o.sender.Follow(o.repo)
		o.wants("plans are turned off", time.Minute, "list", "note 1007 in !7 removed")
		o.stop()
	})
}

func TestMergesThatTheForgeCannotMake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := plansToo(t, environment("main", "Healthy", ""))
		o.change(func() { o.open, o.merge = []forge.MergeRequest{into(7, "fix", commitA)}, forge.Computing })
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		if calls := o.said(20 * time.Second); len(calls) < 4 || len(calls) > 6 || p.asked != 0 {
			t.Errorf("while the forge computes: %v, %d wanted", calls, p.asked)
		}
		o.change(func() { o.merge = forge.Conflicting })
		o.said(time.Minute)
		if !strings.Contains(o.note(1007), "No plan: the forge cannot merge it") {
			t.Errorf("with conflicts:\n%s", o.note(1007))
		}
		o.change(func() { o.merge, o.open[0].Head = forge.Mergeable, commitB })
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.said(time.Minute)
		p.makes("ConfigMap/new")
		o.said(time.Minute)
		if !strings.Contains(o.note(1007), "ConfigMap/new") {
			t.Errorf("resolved:\n%s", o.note(1007))
		}
		o.stop()
	})
}

// For a while after a push, a forge may return the merge of the earlier head. It is asked again, for some time.
func TestThePlanOfAnEarlierPushIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := plansToo(t, environment("main", "Healthy", ""))
		o.change(func() { o.open = []forge.MergeRequest{into(7, "fix", commitA)} })
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.said(time.Second)
		p.outdated = true
		p.makes("ConfigMap/earlier")
		if calls := o.said(20 * time.Second); len(calls) < 3 || len(calls) > 6 || strings.Contains(o.note(1007), "ConfigMap/earlier") {
			t.Errorf("while the merge is outdated: %v\n%s", calls, o.note(1007))
		}
		o.change(func() { o.merged = commitB })
		o.said(20 * time.Second)
		p.outdated = false
		p.makes("ConfigMap/pushed")
		o.said(time.Minute)
		if !strings.Contains(o.note(1007), "ConfigMap/pushed") {
			t.Errorf("then:\n%s", o.note(1007))
		}
		o.change(func() { o.open[0].Head = commitB })
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		o.said(time.Second)
		p.outdated = true
		p.makes("ConfigMap/forever")
		if calls := o.said(time.Hour); len(calls) > maxComputing+2 || !strings.Contains(o.note(1007), "ConfigMap/forever") {
			t.Errorf("a forge that stays behind: %d requests\n%s", len(calls), o.note(1007))
		}
		o.stop()
	})
}

// The errors of merges are retried like those of notes, and do not multiply.
func TestAForgeThatFailsToMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := plansToo(t, environment("main", "Healthy", ""))
		o.change(func() {
			o.open = []forge.MergeRequest{into(7, "fix", commitA)}
			o.fails = func(call string) error {
				if strings.HasPrefix(call, "merge") {
					return &forge.Error{Reason: forge.Unreachable, Op: "merge", Cause: "500", Answered: true}
				}
				return nil
			}
		})
		o.sender.Heard(client.ObjectKeyFromObject(o.repo))
		if calls := o.said(time.Hour); len(calls) > 30 {
			t.Errorf("%d requests in an hour", len(calls))
		}
		o.change(func() { o.fails = nil })
		o.said(10 * time.Minute)
		p.makes("ConfigMap/new")
		o.said(time.Minute)
		if !strings.Contains(o.note(1007), "ConfigMap/new") {
			t.Errorf("the note is\n%s", o.note(1007))
		}
		o.stop()
	})
}
