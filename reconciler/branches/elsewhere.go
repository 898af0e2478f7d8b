package branches

import (
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

// Elsewhere are the entries of a Repository that belong to other agents. This agent makes no Environments of them. It may
// have some from the time before the entry, or the agent, had its name.
type Elsewhere struct {
	// Agent is the name of this agent.
	Agent   string
	entries []*v1alpha1.Entry
}

// ElsewhereOf returns the entries of a Repository that do not belong to the agent of a name.
func ElsewhereOf(repo *v1alpha1.Repository, agent string) Elsewhere {
	e := Elsewhere{Agent: agent}
	for i := range repo.Spec.Environments {
		if entry := &repo.Spec.Environments[i]; entry.Agent != agent {
			e.entries = append(e.entries, entry)
		}
	}
	return e
}

func (e Elsewhere) entryOf(env *v1alpha1.Environment) *v1alpha1.Entry {
	for _, entry := range e.entries {
		if entry.Name == env.Spec.Entry {
			return entry
		}
	}
	return nil
}

// Has reports whether the entry of an Environment belongs to another agent.
func (e Elsewhere) Has(env *v1alpha1.Environment) bool { return e.entryOf(env) != nil }

// waits reports whether an Environment stays until a user confirms its deletion. That of a pattern does not if the entry
// moved from this agent to another one, which re-creates it. In any other case the agent, and not the entry, may have the
// wrong name.
func (e Elsewhere) waits(env *v1alpha1.Environment) bool {
	patterns, err := naming.CompilePatterns(e.entryOf(env).Branches)
	return err != nil || patterns.Literal() || env.Spec.Agent != e.Agent
}

// Message returns why an Environment is not reconciled, if its entry belongs to another agent; empty otherwise.
func (e Elsewhere) Message(env *v1alpha1.Environment) string {
	entry := e.entryOf(env)
	switch {
	case entry == nil:
		return ""
	case !e.waits(env):
		return fmt.Sprintf("its entry %s belongs to %s now, so the environment will be deleted here; %s", entry.Name, NameOf(entry.Agent), e.keep(env, entry))
	}
	return fmt.Sprintf("its entry %s belongs to %s, and this is %s, so what runs here stays as it is; %s; to delete %s: berth confirm %s",
		entry.Name, NameOf(entry.Agent), NameOf(e.Agent), e.keep(env, entry), endOf(env), env.Name)
}

// keep returns how to let this agent run an Environment again.
func (e Elsewhere) keep(env *v1alpha1.Environment, entry *v1alpha1.Entry) string {
	text := fmt.Sprintf("to keep it, set agent: %s in the entry %s", e.Agent, entry.Name)
	if e.Agent == "" {
		text = "to keep it, remove agent from the entry " + entry.Name
	}
	switch {
	case env.Spec.Agent != entry.Agent:
		return text
	case entry.Agent == "":
		return text + ", or start the agent without --agent-name"
	}
	return text + ", or start the agent with --agent-name=" + entry.Agent
}

// endOf names what the deletion of an Environment deletes.
func endOf(env *v1alpha1.Environment) string {
	if env.Spec.OnRemoval == v1alpha1.RemovalOrphan {
		return "the Environment here, without its objects"
	}
	return "it here, with its objects"
}

// NameOf returns how messages name an agent.
func NameOf(agent string) string {
	if agent == "" {
		return "the agent without a name"
	}
	return "the agent " + agent
}

// Summary returns which entries belong to which other agents; empty: none does.
func (e Elsewhere) Summary() string {
	const most = 5
	var names []string
	for _, entry := range e.entries[:min(most, len(e.entries))] {
		names = append(names, fmt.Sprintf("%s (%s)", entry.Name, NameOf(entry.Agent)))
	}
	if more := len(e.entries) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	switch len(e.entries) {
	case 0:
		return ""
	case 1:
		return "1 entry belongs to another agent: " + names[0]
	}
	return fmt.Sprintf("%d entries belong to other agents: %s", len(e.entries), strings.Join(names, ", "))
}

// hand returns why an Environment of another agent's entry is deleted; empty: it waits for a confirmation.
func (c *Changes) hand(env *v1alpha1.Environment, e Evidence) string {
	if e.Elsewhere.waits(env) && !e.Confirmed[env.Name] && !ConfirmedBy(env) {
		c.left = append(c.left, env)
		return ""
	}
	return fmt.Sprintf("its entry belongs to %s now", NameOf(e.Elsewhere.entryOf(env).Agent))
}

// leave records that the Environments of other agents' entries wait for a confirmation.
func (c *Changes) leave(e Elsewhere) {
	if len(c.left) == 0 {
		return
	}
	first := c.left[0]
	text := fmt.Sprintf("%s: %s", first.Name, e.Message(first))
	if more := len(c.left) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more; all of them: berth confirm --repository %s)", more, first.Spec.Repository)
	}
	c.Doubts = append(c.Doubts, text)
	for _, env := range c.left {
		c.Held = append(c.Held, env.Name)
	}
	slices.Sort(c.Held)
}
