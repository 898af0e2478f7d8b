package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/reconciler/manifest"
)

// workload is the object of a YAML document.
func workload(t *testing.T, text string) *manifest.Object {
	t.Helper()
	content := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &content); err != nil {
		t.Fatal(err)
	}
	return &manifest.Object{Unstructured: &unstructured.Unstructured{Object: content}}
}

func TestImagesThatAPlanBrings(t *testing.T) {
	const (
		deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: posts}, spec: {template: {spec: {
			serviceAccountName: puller, imagePullSecrets: [{name: one}, {name: two}],
			initContainers: [{name: a, image: "init:1"}], containers: [{name: b, image: "web:1"}, {name: c, image: "web:1"}]}}}}`
		other   = `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: posts}, spec: {template: {spec: {containers: [{name: b, image: "web:1"}]}}}}`
		cronJob = `{apiVersion: batch/v1, kind: CronJob, metadata: {name: tidy, namespace: posts}, spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: "tidy:1"}]}}}}}}`
		job     = `{apiVersion: batch/v1, kind: Job, metadata: {name: migrate, namespace: posts}, spec: {template: {spec: {serviceAccount: old, containers: [{name: a, image: "migrate:1"}]}}}}`
		pod     = `{apiVersion: v1, kind: Pod, metadata: {name: shell, namespace: posts}, spec: {containers: [{name: a, image: "shell:1"}, {name: b, image: ""}]}}`
		loaded  = `{apiVersion: v1, kind: Pod, metadata: {name: shell, namespace: posts}, spec: {containers: [{name: a, image: "shell:1", imagePullPolicy: Never}]}}`
		volume  = `{apiVersion: v1, kind: Pod, metadata: {name: shell, namespace: posts}, spec: {containers: [{name: a, image: "shell:1"}], volumes: [{name: v, image: {reference: "data:1"}}, {name: w, emptyDir: {}}]}}`
		rollout = `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: web, namespace: posts}, spec: {template: {spec: {containers: [{name: a, image: "web:2"}]}}}}`
		config  = `{apiVersion: v1, kind: ConfigMap, metadata: {name: web, namespace: posts}, data: {image: "web:1"}}`
		elastic = `{apiVersion: example.com/v1, kind: Cluster, metadata: {name: web, namespace: posts}, spec: {template: {spec: {image: "web:2"}}}}`
	)
	for _, row := range []struct {
		rule   string
		action Action
		object string
		known  []string
		want   string
	}{
		{rule: "of all containers, each once, with the pull secrets of the pod", action: Change, object: deployment, want: "init:1 puller one,two; web:1 puller one,two"},
		{rule: "of an object that does not exist yet, with the default account", action: Create, object: other, want: "web:1 default"},
		{rule: "of a Job that runs", action: Replace, object: job, want: "migrate:1 old"},
		{rule: "of a CronJob", action: Create, object: cronJob, want: "tidy:1 default"},
		{rule: "of a Pod, and none where none is named", action: Create, object: pod, want: "shell:1 default"},
		{rule: "of a volume", action: Create, object: volume, want: "shell:1 default; data:1 default"},
		{rule: "of a custom resource with a pod template", action: Create, object: rollout, want: "web:2 default"},
		{rule: "none that is never pulled", action: Create, object: loaded},
		{rule: "none of an object without pods", action: Create, object: config},
		{rule: "none of a template without containers", action: Create, object: elastic},
		{rule: "none that was there before", action: Change, object: deployment, known: []string{"init:1", "web:1"}},
		{rule: "only those that are new", action: Change, object: deployment, known: []string{"init:1"}, want: "web:1 puller one,two"},
		{rule: "none of an object that stays as it is", action: Keep, object: deployment},
		{rule: "none of drift that is corrected", action: Correct, object: deployment},
		{rule: "none of a Job that runs when the environment is deleted", action: Prepare, object: job},
	} {
		t.Run(row.rule, func(t *testing.T) {
			o := workload(t, row.object)
			p := Plan{Steps: []Step{{Action: row.action, Key: o.Key(), Object: o}}}
			if got := described(p.Images(row.known)); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
	web, db := workload(t, deployment), workload(t, other)
	p := Plan{Steps: []Step{{Action: Create, Key: web.Key(), Object: web}, {Action: Create, Key: db.Key(), Object: db}, {Action: Create, Key: db.Key(), Object: db}}}
	if got, want := described(p.Images(nil)), "init:1 puller one,two; web:1 puller one,two; web:1 default"; got != want {
		t.Errorf("an image that is pulled in two ways: got %q, want %q", got, want)
	}
}

func described(images []Image) string {
	var texts []string
	for _, i := range images {
		texts = append(texts, strings.TrimSpace(i.Name+" "+i.Account+" "+strings.Join(i.Secrets, ",")))
	}
	return strings.Join(texts, "; ")
}

func TestWaitingForImages(t *testing.T) {
	now := time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)
	const timeout = 15 * time.Minute
	there, missing := Answer{Image: "web:1", Presence: There}, Answer{Image: "web:1", Presence: Missing}
	unasked := Answer{Image: "web:1"}
	queued := func(since time.Duration) Answer { return Answer{Image: "web:1", Since: now.Add(-since)} }
	troubled := func(presence Presence, since time.Duration) Answer {
		return Answer{Image: "web:1", Presence: presence, Trouble: "r.example.com cannot be reached", Since: now.Add(-since)}
	}
	refuses := Answer{Image: "web:1", Trouble: "r.example.com refuses", Refused: true}
	lost := Answer{Image: "web:1", Presence: Missing, Trouble: "r.example.com refuses", Refused: true}
	since := func(ago time.Duration) Images {
		return Images{Digest: "new", Since: now.Add(-ago), Known: []string{"web:0"}}
	}
	for _, row := range []struct {
		rule     string
		before   Images
		answers  []Answer
		retry    bool
		state    GateState
		message  string
		deadline time.Duration // from now; 0: none
		since    time.Duration // ago; 0: no wait
		warnings int
	}{
		{rule: "a commit without new images is applied at once", before: Images{Digest: "old"}, state: GateOpen},
		{rule: "an image that is there is applied", answers: []Answer{there}, state: GateOpen},
		{rule: "before the first answer, nothing is applied", answers: []Answer{there, unasked}, state: GateAsking, message: "asking the registry for image web:1"},
		{rule: "the turn of a question may take a while to come", answers: []Answer{queued(turnPatience / 2)}, state: GateAsking, deadline: turnPatience / 2, message: "asking the registry for image web:1"},
		{rule: "and does not hold the commit back for good", answers: []Answer{queued(turnPatience)}, state: GateOpen, warnings: 1},
		{rule: "a missing image holds the commit back", answers: []Answer{there, missing}, state: GateWaiting, deadline: timeout, since: 0 + time.Nanosecond,
			message: "image web:1 is not there yet; waits until 12:15:00 UTC"},
		{rule: "the wait goes on from where it began", before: since(10 * time.Minute), answers: []Answer{missing}, state: GateWaiting, deadline: 5 * time.Minute, since: 10 * time.Minute,
			message: "image web:1 is not there yet; waits until 12:05:00 UTC"},
		{rule: "another input starts over", before: Images{Digest: "old", Since: now.Add(-time.Hour)}, answers: []Answer{missing}, state: GateWaiting, deadline: timeout, since: time.Nanosecond},
		{rule: "after the timeout it is a failure", before: since(timeout), answers: []Answer{missing}, state: GateLate, since: timeout,
			message: "image web:1 is not there after 15m; check the pipeline that builds what is missing; to wait again: berth retry posts.review.main"},
		{rule: "a retry starts over", before: since(timeout), answers: []Answer{missing}, retry: true, state: GateWaiting, deadline: timeout, since: time.Nanosecond},
		{rule: "an image that arrives after the timeout is applied", before: since(time.Hour), answers: []Answer{there}, state: GateOpen},
		{rule: "a registry in trouble delays the commit for a moment", answers: []Answer{troubled("", 5*time.Second)}, state: GateAsking, deadline: 15 * time.Second,
			message: "asking the registry for image web:1; r.example.com cannot be reached"},
		{rule: "and not longer", answers: []Answer{troubled("", registryPatience)}, state: GateOpen, warnings: 1},
		{rule: "a registry that refuses does not delay the commit", answers: []Answer{refuses}, state: GateOpen, warnings: 1},
		{rule: "a missing image is still missing when its registry gets into trouble", before: since(time.Minute), answers: []Answer{troubled(Missing, time.Hour)}, state: GateWaiting, deadline: 14 * time.Minute, since: time.Minute,
			message: "image web:1 is not there yet; waits until 12:14:00 UTC; r.example.com cannot be reached"},
		{rule: "a registry in trouble at the end fails nothing", before: since(timeout), answers: []Answer{troubled(Missing, time.Hour)}, state: GateOpen, warnings: 1},
		{rule: "nor does one that refuses at the end", before: since(timeout), answers: []Answer{lost}, state: GateOpen, warnings: 1},
		{rule: "one image that is missing counts more than one that cannot be checked", answers: []Answer{refuses, missing}, state: GateWaiting, deadline: timeout, since: time.Nanosecond},
		{rule: "several images are named", answers: []Answer{missing, {Image: "a", Presence: Missing}, {Image: "b", Presence: Missing}, {Image: "c", Presence: Missing}}, state: GateWaiting, deadline: timeout, since: time.Nanosecond,
			message: "images web:1, a, b and 1 more are not there yet; waits until 12:15:00 UTC"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			named := []string{"web:1"}
			after, gate := row.before.Await(Await{Name: "posts.review.main", Digest: "new", Named: named, Answers: row.answers, Now: now, Timeout: timeout, Retry: row.retry})
			if gate.State != row.state || row.message != "" && gate.Message != row.message {
				t.Errorf("got %s: %q, want %s: %q", gate.State, gate.Message, row.state, row.message)
			}
			if want := now.Add(row.deadline); row.deadline > 0 && !gate.Deadline.Equal(want) || row.deadline == 0 && !gate.Deadline.IsZero() {
				t.Errorf("the deadline is %s, want %s from now", gate.Deadline, row.deadline)
			}
			if want := now.Add(-row.since).Truncate(time.Second); row.since > time.Nanosecond && !after.Since.Equal(want) || row.since == time.Nanosecond && !after.Since.Equal(now) || row.since == 0 && !after.Since.IsZero() {
				t.Errorf("it waits since %s, want %s ago", after.Since, row.since)
			}
			open := row.state == GateOpen
			if after.Open != open || after.Digest != "new" || len(after.Unchecked) != row.warnings {
				t.Errorf("the record is %+v", after)
			}
			if known := row.before.Known; open {
				known = named
				if !slices.Equal(after.Known, known) {
					t.Errorf("the known images are %v, want %v", after.Known, known)
				}
			} else if !slices.Equal(after.Known, known) {
				t.Errorf("the known images are %v before it is applied, want %v", after.Known, known)
			}
		})
	}
}

func TestARetryDuringTheWaitIsRemembered(t *testing.T) {
	missing := Await{Digest: "new", Answers: []Answer{{Image: "web:1", Presence: Missing}}, Timeout: time.Minute, Retry: true}
	after, _ := Images{Digest: "new"}.Await(missing)
	missing.Retry, missing.Answers[0].Presence = false, There
	if after, gate := after.Await(missing); gate.State != GateOpen || !after.Retry {
		t.Errorf("the gate is %s, the retry is remembered: %t", gate.State, after.Retry)
	}
}

func TestARecordKeepsHowFarTheWaitIs(t *testing.T) {
	r := Record{Images: Images{Digest: "new", Known: []string{"web:1"}}}
	if !r.Equal(r.Clone()) {
		t.Error("a copy is not equal")
	}
	waits := r.Clone()
	waits.Images.Since = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)
	if r.Equal(waits) {
		t.Error("the beginning of a wait changes nothing in the record")
	}
}
