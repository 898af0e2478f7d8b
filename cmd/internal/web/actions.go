package web

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/acting"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
)

// action is something that a viewer can do with an environment.
type action struct {
	// Name is its word in addresses, and Title that on its button.
	Name, Title string
	// verb is what a viewer must be allowed to do.
	verb string
	// offered reports whether it makes sense now.
	offered func(*v1alpha1.Environment) bool
	// effect says what it will do.
	effect func(env *v1alpha1.Environment, commit string) string
	// command is the same on the command line.
	command func(env *v1alpha1.Environment, commit string) string
	// do does it, and returns how to see in the status that the agent has handled it.
	do func(context.Context, acting.Actor, *v1alpha1.Environment, string) (receipt, error)
	// dangerous marks what deletes something.
	dangerous bool
}

// receipt identifies a request in the status: by its id or by a generation of the spec.
type receipt struct {
	id         string
	generation int64
}

// actions are all actions, in the order of their buttons.
func (s *Server) actions() []action { return slices.Concat(s.requests(), pins(), s.settings()) }

// requests are the actions that ask the agent for something once.
func (s *Server) requests() []action {
	return []action{
		{
			Name: "sync", Title: "Sync", verb: "sync", offered: isActive,
			effect: func(env *v1alpha1.Environment, _ string) string {
				return fmt.Sprintf("The agent lists the branches of %s now, and reconciles this environment with the newest commit of %s.", env.Spec.Repository, env.Spec.Branch)
			},
			command: commandOf("sync"),
			do: func(ctx context.Context, a acting.Actor, env *v1alpha1.Environment, _ string) (receipt, error) {
				if err := s.list(ctx, a, env); err != nil {
					return receipt{}, err
				}
				id, err := a.Request(ctx, env, v1alpha1.AnnotationRequested)
				return receipt{id: id}, err
			},
		},
		{
			Name: "retry", Title: "Retry", verb: "retry", offered: func(env *v1alpha1.Environment) bool { return isActive(env) && needsHelp(env) },
			effect: func(env *v1alpha1.Environment, _ string) string {
				return "The agent tries again what failed: failed Jobs run once more, and a commit that was rolled back is applied again. What succeeded is not repeated."
			},
			command: commandOf("retry"),
			do:      request(v1alpha1.AnnotationRetry),
		},
		{
			Name: "confirm", Title: "Confirm deletions", verb: "confirm", offered: isBlocked, dangerous: true,
			effect: func(env *v1alpha1.Environment, _ string) string {
				return "The agent may delete what it blocks now, and nothing that is blocked later: " + inspect.Ready(env.Status.Conditions).Message
			},
			command: commandOf("confirm"),
			do:      request(v1alpha1.AnnotationConfirmed),
		},
	}
}

// pins are the actions that choose the commit.
func pins() []action {
	return []action{
		{
			Name: "pin", Title: "Run this commit", verb: "pin", offered: func(*v1alpha1.Environment) bool { return false }, // by the history
			effect: func(env *v1alpha1.Environment, commit string) string {
				return fmt.Sprintf("The environment runs commit %s, and stays there whatever is pushed to %s. Jobs that already ran with the same content do not run again.", output.ShortCommit(commit), env.Spec.Branch)
			},
			command: func(env *v1alpha1.Environment, commit string) string {
				return "berth pin " + env.Name + " " + output.ShortCommit(commit)
			},
			do: set("pin", func(commit string) any { return commit }),
		},
		{
			Name: "unpin", Title: "Follow the branch", verb: "pin", offered: func(env *v1alpha1.Environment) bool { return env.Spec.Pin != "" },
			effect: func(env *v1alpha1.Environment, _ string) string {
				return fmt.Sprintf("The environment follows %s again, and gets its newest commit, %s.", env.Spec.Branch, output.ShortCommit(env.Spec.Commit))
			},
			command: func(env *v1alpha1.Environment, _ string) string { return "berth pin " + env.Name + " --unpin" },
			do:      set("pin", func(string) any { return nil }),
		},
	}
}

// settings are the actions that last until a user undoes them.
func (s *Server) settings() []action {
	return []action{
		{
			Name: "suspend", Title: "Suspend", verb: "suspend", offered: isActive,
			effect: func(env *v1alpha1.Environment, _ string) string {
				return "What runs stays as it is. Until a user resumes the environment, pushes are not applied and drift is not reverted."
			},
			command: commandOf("suspend"),
			do:      set("suspend", func(string) any { return true }),
		},
		{
			Name: "resume", Title: "Resume", verb: "suspend", offered: func(env *v1alpha1.Environment) bool { return env.Spec.Suspend && env.DeletionTimestamp == nil },
			effect: func(env *v1alpha1.Environment, _ string) string {
				return fmt.Sprintf("The agent applies commit %s, and reverts what drifted.", output.ShortCommit(inspect.Target(env)))
			},
			command: commandOf("resume"),
			do:      set("suspend", func(string) any { return nil }),
		},
		{
			Name: "keep", Title: "Keep", verb: "keep", offered: func(env *v1alpha1.Environment) bool { return env.Status.ExpiresAt != nil && !isKept(env) },
			effect: func(env *v1alpha1.Environment, _ string) string {
				return "The environment does not expire, however long nothing is pushed. It is still deleted with its branch."
			},
			command: s.annotation(v1alpha1.AnnotationKeep + "=true"),
			do:      annotate(v1alpha1.AnnotationKeep, "true"),
		},
		{
			Name: "expire", Title: "Let it expire", verb: "keep", offered: isKept,
			effect: func(env *v1alpha1.Environment, _ string) string {
				return "The environment expires again when its branch is inactive, as its entry says."
			},
			command: s.annotation(v1alpha1.AnnotationKeep + "-"),
			do:      annotate(v1alpha1.AnnotationKeep, nil),
		},
	}
}

// list asks for a listing of the branches. Without the right to, the last one counts.
func (s *Server) list(ctx context.Context, a acting.Actor, env *v1alpha1.Environment) error {
	repo := &v1alpha1.Repository{}
	repo.Name, repo.Namespace = env.Spec.Repository, env.Namespace
	if _, err := a.Request(ctx, repo, v1alpha1.AnnotationRequested); err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

func isActive(env *v1alpha1.Environment) bool {
	return !env.Spec.Suspend && env.DeletionTimestamp == nil
}

func needsHelp(env *v1alpha1.Environment) bool {
	t := stateOf(env).Tone
	return t == toneBad || t == toneWarn
}

func isKept(env *v1alpha1.Environment) bool {
	return env.Annotations[v1alpha1.AnnotationKeep] == "true"
}

func commandOf(verb string) func(*v1alpha1.Environment, string) string {
	return func(env *v1alpha1.Environment, _ string) string { return "berth " + verb + " " + env.Name }
}

func (s *Server) annotation(change string) func(*v1alpha1.Environment, string) string {
	return func(env *v1alpha1.Environment, _ string) string {
		return fmt.Sprintf("kubectl annotate --overwrite env -n %s %s %s", s.Namespace, env.Name, change)
	}
}

func request(annotation string) func(context.Context, acting.Actor, *v1alpha1.Environment, string) (receipt, error) {
	return func(ctx context.Context, a acting.Actor, env *v1alpha1.Environment, _ string) (receipt, error) {
		id, err := a.Request(ctx, env, annotation)
		return receipt{id: id}, err
	}
}

func annotate(annotation string, value any) func(context.Context, acting.Actor, *v1alpha1.Environment, string) (receipt, error) {
	return func(ctx context.Context, a acting.Actor, env *v1alpha1.Environment, _ string) (receipt, error) {
		return receipt{}, a.Annotate(ctx, env, annotation, value)
	}
}

func set(field string, value func(commit string) any) func(context.Context, acting.Actor, *v1alpha1.Environment, string) (receipt, error) {
	return func(ctx context.Context, a acting.Actor, env *v1alpha1.Environment, commit string) (receipt, error) {
		err := a.Set(ctx, env, field, value(commit))
		return receipt{generation: env.Generation}, err // the write returned the new one
	}
}
