package world

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
)

// An Environment is the environment of one branch. If several entries match the branch, entry says which.
type Environment struct {
	Branch     string
	entry      string
	repository *Repository
	world      *World
	t          Reporter
	namespace  string
}

// Get returns the Environment object, if it exists.
func (e *Environment) Get() (v1alpha1.Environment, bool) {
	e.t.Helper()
	for _, environment := range e.repository.Environments() {
		if environment.Spec.Branch == e.Branch && (e.entry == "" || environment.Spec.Entry == e.entry) {
			return environment, true
		}
	}
	return v1alpha1.Environment{}, false
}

// Namespace returns the name of the environment's namespace. It still does after the Environment is gone.
func (e *Environment) Namespace() string {
	e.t.Helper()
	if e.namespace == "" {
		Await(e.t, e.Branch+" has an environment", func() (string, bool) {
			environment, there := e.Get()
			e.namespace = environment.Spec.Namespace
			return "none", there
		})
	}
	return e.namespace
}

// Becomes waits until the environment's Ready condition has the given commit and reason, and all of the texts in its
// message. It returns the Environment. If the reason is Healthy, the commit is also the applied and the healthy one.
func (e *Environment) Becomes(reason, commit string, texts ...string) v1alpha1.Environment {
	e.t.Helper()
	return e.BecomesWithin(patience, reason, commit, texts...)
}

// BecomesWithin is Becomes with a given limit.
func (e *Environment) BecomesWithin(limit time.Duration, reason, commit string, texts ...string) v1alpha1.Environment {
	e.t.Helper()
	var environment v1alpha1.Environment
	what := fmt.Sprintf("%s at %.8s becomes %s %q", e.Branch, commit, reason, texts)
	AwaitFor(e.t, limit, what, func() (string, bool) {
		now, there := e.Get()
		if !there {
			return "no environment", false
		}
		environment = now
		return Line(now), stands(now, reason, commit) && containsAll(Ready(now).Message, texts)
	})
	return environment
}

// Is reports whether the environment has the given commit and reason right now, and returns its state in one line.
func (e *Environment) Is(reason, commit string) (saw string, is bool) {
	e.t.Helper()
	now, there := e.Get()
	if !there {
		return "no environment", false
	}
	return Line(now), stands(now, reason, commit)
}

func stands(environment v1alpha1.Environment, reason, commit string) bool {
	status := environment.Status
	current := environment.Spec.Commit == commit && status.ObservedGeneration == environment.Generation
	if reason == v1alpha1.ReasonHealthy && (status.HealthyCommit != commit || status.AppliedCommit != commit) {
		return false
	}
	return current && Ready(environment).Reason == reason
}

// Ready returns the Ready condition.
func Ready(environment v1alpha1.Environment) metav1.Condition {
	if condition := meta.FindStatusCondition(environment.Status.Conditions, v1alpha1.ConditionReady); condition != nil {
		return *condition
	}
	return metav1.Condition{}
}

// AwaitEnd waits until the Environment object and its namespace are gone.
func (e *Environment) AwaitEnd() {
	e.t.Helper()
	namespace := e.Namespace()
	Await(e.t, "the environment of "+e.Branch+" is gone", func() (string, bool) {
		environment, there := e.Get()
		return Line(environment), !there
	})
	phase, there, err := e.world.Namespace(e.t.Context(), namespace)
	if err != nil || there {
		e.t.Fatalf("the environment of %s is gone, and its namespace %s is not: %s %v", e.Branch, namespace, phase, err)
	}
}

// AwaitEvent waits for an event about the environment with a reason, and all of the texts in its note.
func (e *Environment) AwaitEvent(reason string, texts ...string) {
	e.t.Helper()
	about, _ := e.Get()
	options := metav1.ListOptions{FieldSelector: "reason=" + reason + ",regarding.name=" + about.Name}
	Await(e.t, fmt.Sprintf("an event %s of %s says %q", reason, e.Branch, texts), func() (string, bool) {
		list, err := e.world.client.Resource(kinds["Event"]).Namespace(deploy.Namespace).List(e.t.Context(), options)
		if err != nil {
			return err.Error(), false
		}
		var notes []string
		for _, event := range list.Items {
			notes = append(notes, Object{&event}.Field("note"))
		}
		said := func(note string) bool { return containsAll(note, texts) }
		return strings.Join(notes, "\n"), slices.ContainsFunc(notes, said)
	})
}

// AwaitEvents waits until there are at least so many events about the environment with a reason, and returns their
// number. The agent sends an event some time after the change that it is about.
func (e *Environment) AwaitEvents(reason string, least int) (n int) {
	e.t.Helper()
	Await(e.t, fmt.Sprintf("%d events of %s say %s", least, e.Branch, reason), func() (string, bool) {
		n = e.events(reason)
		return fmt.Sprint(n), n >= least
	})
	return n
}

func (e *Environment) events(reason string) int {
	e.t.Helper()
	about, _ := e.Get()
	options := metav1.ListOptions{FieldSelector: "reason=" + reason + ",regarding.name=" + about.Name}
	list, err := e.world.client.Resource(kinds["Event"]).Namespace(deploy.Namespace).List(e.t.Context(), options)
	if err != nil {
		e.t.Fatalf("cannot list events: %v", err)
	}
	n := 0
	for _, event := range list.Items {
		repeated, _, _ := unstructured.NestedInt64(event.Object, "series", "count")
		n += max(1, int(repeated))
	}
	return n
}

// AwaitUnhealthy waits until the status lists an object of the environment, such as "Deployment/api", as unhealthy,
// with all of the texts.
func (e *Environment) AwaitUnhealthy(name string, texts ...string) {
	e.t.Helper()
	Await(e.t, fmt.Sprintf("%s of %s is not healthy, and says %q", name, e.Branch, texts), func() (string, bool) {
		environment, _ := e.Get()
		listed := func(o v1alpha1.UnhealthyObject) bool {
			return o.Kind+"/"+o.Name == name && containsAll(o.Message, texts)
		}
		return fmt.Sprintf("%+v", environment.Status.Unhealthy), slices.ContainsFunc(environment.Status.Unhealthy, listed)
	})
}

// AwaitLog waits until the status shows a text from the log of a failed container.
func (e *Environment) AwaitLog(text string) {
	e.t.Helper()
	Await(e.t, fmt.Sprintf("the status of %s shows the log %q", e.Branch, text), func() (string, bool) {
		environment, _ := e.Get()
		shows := func(o v1alpha1.UnhealthyObject) bool { return strings.Contains(o.Log, text) }
		return fmt.Sprintf("%+v", environment.Status.Unhealthy), slices.ContainsFunc(environment.Status.Unhealthy, shows)
	})
}

// Line formats an Environment as one line, as a user sees it.
func Line(environment v1alpha1.Environment) string {
	condition := Ready(environment)
	counts := "-"
	if o := environment.Status.Objects; o != nil {
		counts = fmt.Sprintf("%d/%d", o.Healthy, o.Total)
	}
	line := fmt.Sprintf("%-40s %.8s (applied %.8s, healthy %.8s) %-9s %5s %s", environment.Name, environment.Spec.Commit,
		environment.Status.AppliedCommit, environment.Status.HealthyCommit, condition.Reason, counts, condition.Message)
	return strings.TrimSpace(line)
}

// Explain logs the details for troubleshooting: the environments of the Repository as users see them, and the agent's
// log lines about them.
func (r *Repository) Explain() {
	r.t.Helper()
	var text strings.Builder
	for _, condition := range r.Get().Status.Conditions {
		fmt.Fprintf(&text, "%s=%s %s: %s\n", condition.Type, condition.Status, condition.Reason, condition.Message)
	}
	for _, environment := range r.Environments() {
		fmt.Fprintln(&text, Line(environment))
		for _, object := range environment.Status.Unhealthy {
			fmt.Fprintf(&text, "    %s/%s %s: %s\n", object.Kind, object.Name, object.Health, object.Message)
		}
	}
	if r.world.Agent != nil { // otherwise the agent runs in the cluster, with its log there
		fmt.Fprintf(&text, "\nwhat the agent said about it:\n%s", r.world.Agent.Log(r.Name))
	}
	r.t.Logf("Repository %s\n%s", r.Name, &text)
}
