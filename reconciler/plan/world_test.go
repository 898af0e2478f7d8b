package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

const (
	ours   = "a1b2c3.posts-main"
	theirs = "a1b2c3.posts-other"
)

// prover is the installation's prover.
var prover = manifest.NewProver([]byte("key"))

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a cluster with its controllers, as far as plans need them, and the agent's memory. It is strict. It ends the
// test where a real API server would refuse a write, or where Berth does what it must never do.
type world struct {
	t tester
	// in holds what does not come from the cluster; its Record is the stored one.
	in      plan.Input
	commits int
	objects map[manifest.Key]observed.Object
	unknown map[schema.GroupKind]observed.Unknown
	// refuses has the API server's answer to every write of an object.
	refuses map[manifest.Key]plan.Refusal
	serial  int
	// crashAfter is how many steps of the next pass are carried out before the agent dies; -1: all.
	crashAfter int
	// same says that the step that was last carried out turned out to be a Job that has run.
	same bool
	// created counts the created Jobs, by digest.
	created map[string]int
}

func newWorld(t tester) *world {
	return &world{
		t: t,
		in: plan.Input{
			Name:        "posts.production.main",
			Environment: ours,
			Prover:      prover,
			Namespace:   plan.Namespace{Object: manifest.Namespace("posts", nil, nil)},
			Refusals:    map[manifest.Key]plan.Refusal{},
			Now:         noon,
			Timeout:     5 * time.Minute,
		},
		objects:    map[manifest.Key]observed.Object{},
		unknown:    map[schema.GroupKind]observed.Unknown{},
		refuses:    map[manifest.Key]plan.Refusal{},
		crashAfter: -1,
		created:    map[string]int{},
	}
}

// git commits manifests. The same manifests are the same input, whatever the commit.
func (w *world) git(objects ...manifest.Object) {
	w.commits++
	w.in.Commit = fmt.Sprintf("%012d", w.commits)
	w.in.Desired = sealed(objects...)
	input := ""
	for _, o := range w.in.Desired.Objects {
		text, _ := json.Marshal(o.Unstructured)
		input += string(text)
		if o.GetAnnotations()[manifest.AnnotationJob] == "every-commit" {
			input += w.in.Commit
		}
	}
	w.in.Digest = manifest.Digest(input)
}

// decrypting sets the entry's kinds that may hold decrypted values.
func (w *world) decrypting(kinds ...string) {
	if err := w.in.Desired.Seal([]byte("key"), kinds); err != nil {
		w.t.Fatalf("sealing: %v", err)
	}
	w.in.Digest += fmt.Sprint(kinds)
}

// after lets time pass.
func (w *world) after(d time.Duration) { w.in.Now = w.in.Now.Add(d) }

// observed returns what the watches know. It includes what they knew about a kind before they lost sight of it.
func (w *world) observed() observed.State {
	o := observed.State{Objects: map[manifest.Key]observed.Object{}, Unknown: maps.Clone(w.unknown)}
	if crd, ok := w.find("CustomResourceDefinition/widgets.example.com"); !ok || crd.Health.Status != health.Healthy {
		o.Unknown[schema.GroupKind{Group: "example.com", Kind: "Widget"}] = observed.Unknown{State: observed.NotServed, Message: "no such kind"}
	}
	wanted := map[manifest.Key]bool{}
	for _, d := range slices.Concat(w.in.Own, w.in.Desired.Objects) {
		wanted[d.Key()] = true
	}
	own := w.in.Namespace.Object.Key()
	for key, live := range w.objects {
		switch {
		case o.Unknown[key.GroupKind()].State == observed.NotServed:
		case key == own:
			o.Namespace = &live
		case wanted[key] || live.Environment == ours:
			o.Objects[key] = live
		}
	}
	return o
}

// plan makes a plan. It checks that this changes nothing in the input, and that a second plan is the same.
func (w *world) plan() plan.Plan {
	w.t.Helper()
	in := w.in
	in.Observed = w.observed()
	before := copyOf(in)
	p := plan.Make(in)
	if !reflect.DeepEqual(before, copyOf(in)) {
		w.t.Fatalf("making the plan changed its input:\n%s", p)
	}
	if second := plan.Make(in); second.String() != p.String() || !second.Record.Equal(p.Record) {
		w.t.Fatalf("the same input makes two plans:\n%s\n\n%s", p, second)
	}
	w.check(p)
	return p
}

// teardown makes the plan of a teardown.
func (w *world) teardown() plan.Plan {
	in := w.in
	in.Name, in.Desired, in.Observed = "posts.review.login", manifest.Set{}, w.observed()
	return plan.Teardown(in)
}

// goes does what the reconciler does with the plan of a teardown.
func (w *world) goes() {
	w.t.Helper()
	p := w.teardown()
	record := p.Record.Clone()
	w.store(record)
	for i, s := range p.Ready() {
		if i == w.crashAfter {
			w.crashAfter = -1
			return
		}
		if live, ok := w.carryOut(s); ok {
			delete(w.in.Refusals, s.Key)
			record.Wrote(s, live)
		}
	}
	w.in.Record, w.in.Retry = record, false
	w.store(w.teardown().Record)
}

func copyOf(in plan.Input) plan.Input {
	in.Desired.Objects = slices.Clone(in.Desired.Objects)
	for i, o := range in.Desired.Objects {
		in.Desired.Objects[i].Unstructured = o.DeepCopy()
	}
	in.Observed.Objects = maps.Clone(in.Observed.Objects)
	in.Observed.Unknown = maps.Clone(in.Observed.Unknown)
	in.Refusals = maps.Clone(in.Refusals)
	in.Record = in.Record.Clone()
	return in
}

// check checks what holds for every plan. It has each object once, and text for everything that is not healthy. No step
// acts before one of an earlier stage.
func (w *world) check(p plan.Plan) {
	w.t.Helper()
	seen, stage := map[manifest.Key]bool{}, 0
	for _, s := range p.Steps {
		switch {
		case seen[s.Key]:
			w.t.Fatalf("%s has two steps:\n%s", s.Key, p)
		case s.Action != plan.Keep && s.Reason == "":
			w.t.Fatalf("%s has no reason:\n%s", s.Key, p)
		case !s.Healthy() && (s.Trouble().Message == "" || s.Trouble().Status == health.Healthy):
			w.t.Fatalf("%s is not well without a word:\n%s", s.Key, p)
		case s.Stage < stage:
			w.t.Fatalf("%s comes too late:\n%s", s.Key, p)
		}
		seen[s.Key], stage = true, s.Stage
	}
	if (p.Message == "") != (p.State == plan.Settled) {
		w.t.Fatalf("a message belongs to every state but Settled:\n%s", p)
	}
}

// pass does what the reconciler does with a plan, and returns it. The record is stored as text.
func (w *world) pass() plan.Plan {
	w.t.Helper()
	p := w.plan()
	ready := p.Ready()
	record := p.Record.Clone()
	if record.Protects(w.in.Record) {
		w.store(record)
	}
	for i, s := range ready {
		if i == w.crashAfter {
			w.crashAfter = -1
			return p
		}
		if live, ok := w.carryOut(s); ok {
			delete(w.in.Refusals, s.Key)
			if w.same {
				w.same = false
				record.Same(s)
				continue
			}
			record.Wrote(s, live)
		}
	}
	if w.crashAfter >= 0 {
		w.crashAfter = -1
		return p
	}
	if w.in.Retry = false; len(ready) > 0 {
		w.in.Record = record
		record = w.plan().Record
	}
	w.store(record)
	return p
}

func (w *world) store(r plan.Record) {
	text, err := json.Marshal(r)
	if err != nil {
		w.t.Fatalf("storing the record: %v", err)
	}
	w.in.Record = plan.Record{}
	if err := json.Unmarshal(text, &w.in.Record); err != nil {
		w.t.Fatalf("reading the record: %v", err)
	}
}

// crash lets the agent die after this many steps of its next pass.
func (w *world) crash(after int) {
	w.crashAfter = after
	w.pass()
}

// carryOut does what the API server does in a step.
func (w *world) carryOut(s plan.Step) (*observed.Object, bool) {
	w.t.Helper()
	there, exists := w.objects[s.Key]
	if r, ok := w.refuses[s.Key]; ok && !(r.Immutable && s.Live == nil) && !(r.Immutable && s.Action == plan.Replace) {
		r.Digest, r.Until = s.Content(), w.in.Now.Add(time.Minute)
		w.in.Refusals[s.Key] = r
		return nil, false
	}
	isJob := manifest.IsJob(s.Key.GroupKind())
	if s.Ran != "" && observed.Reduce(completed(s.Object.Unstructured)).Job.Spec == s.Ran {
		w.same = true
		if !exists {
			return nil, true
		}
		live := w.write(*s.Object, ours)
		return &live, true
	}
	switch {
	case s.Action == plan.Prepare && !exists:
		return nil, true
	case exists != (s.Live != nil) || exists && (s.Live.UID != there.UID || s.Live.ResourceVersion != there.ResourceVersion):
		w.t.Fatalf("%s: the step was made for another object than the cluster has", s)
	case exists && there.Deleting:
		w.t.Fatalf("%s: it is being deleted already", s)
	case s.Action == plan.Delete || s.Action == plan.Replace:
		mayBeReplaced := isJob && there.Environment == "" && s.Action == plan.Replace
		if there.Environment != ours && !mayBeReplaced || there.Controlled {
			w.t.Fatalf("%s: it is not ours", s)
		}
		return w.delete(s.Key), true
	case exists && there.Environment != "" && there.Environment != ours:
		w.t.Fatalf("%s: it belongs to another environment", s)
	case isJob && exists && s.Action != plan.Correct:
		w.t.Fatalf("%s: a Job cannot be changed", s)
	}
	if ns, ok := w.find("Namespace/" + s.Key.Namespace); s.Key.Namespace != "" && (!ok || ns.Deleting) {
		w.t.Fatalf("%s: its namespace is missing, or is being deleted", s)
	}
	live := w.write(*s.Object, ours)
	if len(s.Leave) > 0 {
		live.Scaler, live.Replicas = there.Scaler, false
		w.objects[s.Key] = live
	}
	if len(s.Hold) > 0 {
		live.Replicas = true
		w.objects[s.Key] = live
	}
	if isJob && !exists {
		w.created[s.Object.Digest]++
	}
	return &live, true
}

// write stores an object as a manifest says, on behalf of an environment.
func (w *world) write(o manifest.Object, environment string) observed.Object {
	before, exists := w.objects[o.Key()]
	u := o.DeepCopy()
	u.SetResourceVersion(w.next())
	u.SetUID(before.UID)
	if !exists {
		u.SetUID(types.UID(w.next()))
	}
	if environment != "" {
		u.SetLabels(map[string]string{manifest.LabelEnvironment: environment})
		annotated(manifest.AnnotationDigest, prover.Mark(environment, o.Key(), o.Digest))(u)
		names := map[string]any{}
		for name := range u.GetAnnotations() {
			names["f:"+name] = map[string]any{}
		}
		text, _ := json.Marshal(map[string]any{"f:" + o.Digest: map[string]any{}, "f:metadata": map[string]any{"f:annotations": names}})
		fields := metav1.NewFieldsV1(string(text))
		u.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: manifest.FieldManager, Operation: metav1.ManagedFieldsOperationApply, FieldsV1: fields}})
	}
	live := observed.ReduceMetadata(u, u.GroupVersionKind())
	_, live.Replicas, _ = unstructured.NestedFieldNoCopy(u.Object, "spec", "replicas")
	live.Health, live.Job = before.Health, before.Job
	if !exists || before.Digest != "" && before.Digest != live.Digest && !manifest.IsJob(live.Key.GroupKind()) {
		live.Health, live.Job = atFirst(u)
	}
	w.objects[live.Key] = live
	return live
}

// atFirst returns the health of an object that has just been written.
func atFirst(u *unstructured.Unstructured) (health.Health, *observed.Job) {
	switch suspend, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); {
	case u.GetKind() == "Job" && suspend:
		return health.Health{Status: health.Suspended, Message: "suspended"}, observed.Reduce(completed(u)).Job
	case u.GetKind() == "Job":
		return health.Health{Status: health.Progressing, Message: "0 of 1 completed"}, observed.Reduce(completed(u)).Job
	case u.GetKind() == "Deployment":
		return health.Health{Status: health.Progressing, Message: "0 of 1 ready"}, nil
	case u.GetKind() == "CustomResourceDefinition":
		return health.Health{Status: health.Progressing, Message: "not established"}, nil
	}
	return health.Health{Status: health.Healthy}, nil
}

// completed returns a Job as the API server completes it: with its defaults, and with what identifies this very object.
func completed(u *unstructured.Unstructured) *unstructured.Unstructured {
	u = u.DeepCopy()
	if _, set, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "completions"); !set {
		field(int64(1), "spec", "completions")(u)
	}
	field("the UID", "spec", "template", "metadata", "labels", "controller-uid")(u)
	field("the UID", "spec", "selector", "matchLabels", "controller-uid")(u)
	return u
}

func (w *world) next() string {
	w.serial++
	return fmt.Sprintf("%d", w.serial)
}

// find returns an object by its kind/name.
func (w *world) find(short string) (observed.Object, bool) {
	for key, live := range w.objects {
		if key.Short() == short {
			return live, true
		}
	}
	return observed.Object{}, false
}
