package feedback

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// statusPrefix begins the names of all commit statuses.
const statusPrefix = "berth/"

// statusName returns the name of the commit status of an entry, with that of the agent that runs it: two agents never set the
// same status.
func statusName(agent, entry string) string {
	if agent == "" {
		return statusPrefix + entry
	}
	return statusPrefix + agent + "/" + entry
}

// states has, by the reason of Ready, the state of the commit status. A degraded environment was healthy with its commit,
// so its status stays a success. The other reasons say nothing about a commit.
var states = map[string]forge.State{
	v1alpha1.ReasonQueued:     forge.Pending,
	v1alpha1.ReasonWaiting:    forge.Pending,
	v1alpha1.ReasonSuspended:  forge.Pending,
	v1alpha1.ReasonSyncing:    forge.Running,
	v1alpha1.ReasonHealthy:    forge.Success,
	v1alpha1.ReasonDegraded:   forge.Success,
	v1alpha1.ReasonFailed:     forge.Failed,
	v1alpha1.ReasonRolledBack: forge.Failed,
}

// Page is the address of the page for people; empty: there is none.
type Page string

// of returns the address of an environment on the page, or nothing.
func (p Page) of(env *v1alpha1.Environment) string {
	if p == "" {
		return ""
	}
	return strings.TrimSuffix(string(p), "/") + "/env/" + env.Name
}

// statusOf returns the commit status that the state of an Environment calls for; false if it calls for none. It leads to the
// healthy application, or else to the page.
func statusOf(env *v1alpha1.Environment, page Page) (forge.Status, bool) {
	ready := readyOf(env)
	s := forge.Status{Branch: env.Spec.Branch, Name: statusName(env.Spec.Agent, env.Spec.Entry), Commit: commitOf(env, ready.Reason), State: states[ready.Reason]}
	if s.State == "" || s.Commit == "" || !env.DeletionTimestamp.IsZero() {
		return s, false
	}
	if s.State == forge.Pending && s.Commit == env.Status.HealthyCommit {
		s.State = forge.Success // such as a healthy environment that a user suspended
	}
	s.Link = page.of(env)
	switch s.State {
	case forge.Success:
		s.Description, s.Link = "Healthy", cmp.Or(env.Status.Link, s.Link)
	case forge.Running:
		s.Description = "Syncing" // without counts: GitLab refuses to change the text of a running status
	default:
		s.Description = ready.Reason + separated(ready.Message)
	}
	return s, true
}

func separated(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

// superseded returns the status that ends an unfinished one, if the next status of the environment is about another commit, or
// about none, or if the agent has another name since. False if there is nothing to end.
func superseded(env *v1alpha1.Environment, told v1alpha1.EnvironmentFeedback, next forge.Status) (forge.Status, bool) {
	name := cmp.Or(told.Name, next.Name)
	if told.Commit == "" || forge.State(told.State).Final() || next.Commit == told.Commit && next.Name == name {
		return forge.Status{}, false
	}
	end := forge.Status{Branch: env.Spec.Branch, Name: name, Commit: told.Commit, State: forge.Canceled, Pipeline: told.Pipeline, Description: "the environment is removed"}
	end.Superseded = env.Spec.Commit != "" && env.Spec.Commit != told.Commit // and not because a user pinned an older commit
	switch {
	case next.Commit != "" && next.Commit == told.Commit:
		end.Description = "reported as " + next.Name
	case next.Commit != "":
		end.Description = "superseded by commit " + short(next.Commit)
	}
	return end, true
}

// commitOf returns the full id of the commit that the status of an Environment is about. The status has only its
// beginning.
func commitOf(env *v1alpha1.Environment, reason string) string {
	head := cmp.Or(env.Spec.Pin, env.Spec.Commit)
	if reason == v1alpha1.ReasonQueued || reason == v1alpha1.ReasonRolledBack || env.Status.ShortCommit == "" {
		return head
	}
	known := []string{head, env.Status.AppliedCommit, env.Status.HealthyCommit}
	for _, sync := range env.Status.History {
		known = append(known, sync.Commit)
	}
	for _, commit := range known {
		if strings.HasPrefix(commit, env.Status.ShortCommit) {
			return commit
		}
	}
	return ""
}

func short(commit string) string { return commit[:min(8, len(commit))] }

func readyOf(env *v1alpha1.Environment) metav1.Condition {
	if c := meta.FindStatusCondition(env.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// digest identifies a content. It needs no more than to tell a content from its predecessors.
func digest(content any) string {
	encoded, err := json.Marshal(content)
	if err != nil {
		return "" // texts and numbers can always be encoded
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:8])
}
