package feedback

import (
	"context"
	"maps"
	"slices"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/source/forge"
)

// ended are the reasons of Ready of an environment that runs nothing any more, or soon will not.
var ended = []string{v1alpha1.ReasonExpiring, v1alpha1.ReasonExpired, v1alpha1.ReasonDeleting}

func hasEnded(env *v1alpha1.Environment) bool {
	return slices.Contains(ended, readyOf(env).Reason) || !env.DeletionTimestamp.IsZero()
}

// inUse reports whether another Environment than the named one runs in an environment of the forge.
type inUse func(environment, but string) bool

// usedBy returns what the Environments of a Repository use. Several may share an environment of the forge: those of an entry's
// literal branches, and those of branches such as feature/x and feature-x.
func usedBy(repo *v1alpha1.Repository, envs map[string][]*v1alpha1.Environment) inUse {
	return func(environment, but string) bool {
		for _, of := range envs {
			for _, env := range of {
				if env.Name != but && !hasEnded(env) && environmentName(repo, env) == environment {
					return true
				}
			}
		}
		return false
	}
}

// sendDeployments records the deployments that differ, and returns the branches that it tried.
func (l *line) sendDeployments(ctx context.Context, repo *v1alpha1.Repository, envs map[string][]*v1alpha1.Environment) []string {
	return l.each(l.deployments, l.deployments.take(l.Now()), func(name string) error {
		b := l.branch(name, envs[name])
		if repo.Spec.Feedback.Deployments != v1alpha1.DeploymentsRecorded {
			if err := l.cancelDeployments(ctx, b); err != nil { // those of the time before
				return err
			}
			return l.endDeployments(ctx, b, usedBy(repo, envs))
		}
		return l.setDeployments(ctx, repo, b, usedBy(repo, envs))
	})
}

// setDeployments records the deployments of a branch that differ.
func (l *line) setDeployments(ctx context.Context, repo *v1alpha1.Repository, b *branch, used inUse) error {
	for _, env := range b.envs {
		if err := l.setDeployment(ctx, repo, env, b, used); err != nil {
			return err
		}
	}
	return l.endDeployments(ctx, b, used)
}

// endDeployments records which environments of a branch are gone or run nothing any more, if a deployment of them was recorded.
func (l *line) endDeployments(ctx context.Context, b *branch, used inUse) error {
	there := map[string]bool{}
	for _, env := range b.envs {
		there[env.Name] = !hasEnded(env)
	}
	for _, name := range slices.Sorted(maps.Keys(b.told)) {
		if !there[name] {
			if err := l.endDeployment(ctx, name, b, used); err != nil {
				return err
			}
		}
	}
	return nil
}

// setDeployment records the deployment of an Environment if it differs. What ended and begins again is another deployment.
func (l *line) setDeployment(ctx context.Context, repo *v1alpha1.Repository, env *v1alpha1.Environment, b *branch, used inUse) error {
	if hasEnded(env) {
		return l.endDeployment(ctx, env.Name, b, used)
	}
	s, wanted := statusOf(env, l.Page)
	name := environmentName(repo, env)
	if !wanted || name == "" {
		return nil
	}
	if told := b.told[env.Name]; told.Deployment != nil && told.Deployment.Environment != name {
		if err := l.endDeployment(ctx, env.Name, b, used); err != nil { // the agent has another name since
			return err
		}
	}
	told := b.told[env.Name]
	var before v1alpha1.DeploymentRecord
	if told.Deployment != nil {
		before = *told.Deployment
	}
	content := digest([]any{name, s.Commit, s.State, s.Description, env.Status.Link})
	if before.Digest == content {
		return nil
	}
	if before.Commit != s.Commit && before.ID != 0 && !forge.State(before.State).Final() {
		superseded := forge.Deployment{Commit: before.Commit, Branch: b.name, Environment: before.Environment, ID: before.ID, State: forge.Canceled, Description: "superseded by commit " + short(s.Commit)}
		if _, err := l.forge.SetDeployment(ctx, superseded); err != nil && forge.ReasonOf(err) != forge.NotFound {
			return err
		}
		before = v1alpha1.DeploymentRecord{}
	}
	d := forge.Deployment{Commit: s.Commit, Branch: b.name, Environment: name, State: s.State, Description: s.Description, Link: env.Status.Link, Namespace: env.Spec.Namespace}
	if before.Commit == s.Commit && (!forge.State(before.State).Final() || s.State == forge.State(before.State)) {
		d.ID = before.ID
	}
	id, err := l.forge.SetDeployment(ctx, d)
	record := &v1alpha1.DeploymentRecord{ID: id, Commit: s.Commit, State: string(s.State), Environment: name, Digest: content}
	switch {
	case err != nil && (id == 0 || id == d.ID):
		return err
	case err != nil:
		record.Digest = "" // the forge created it and refused the rest: the retry continues with this one
	}
	told.Deployment = record
	b.told[env.Name] = told
	return err
}

// endDeployment records that an environment is gone, if a deployment of it was recorded.
func (l *line) endDeployment(ctx context.Context, name string, b *branch, used inUse) error {
	told := b.told[name]
	if told.Deployment == nil {
		return nil
	}
	last := forge.Deployment{ID: told.Deployment.ID, Commit: told.Deployment.Commit, Branch: b.name, Environment: told.Deployment.Environment}
	last.Shared = used(last.Environment, name)
	if err := l.forge.EndDeployment(ctx, last); err != nil && forge.ReasonOf(err) != forge.NotFound {
		return err
	}
	told.Deployment = nil
	b.told[name] = told
	return nil
}

// environmentName returns the name of an Environment at the forge: the one that GitLab CI would use, after the name of the agent
// if it has one. It is empty if the entry is gone.
func environmentName(repo *v1alpha1.Repository, env *v1alpha1.Environment) string {
	entry := naming.EntryOf(repo, env)
	if entry == nil {
		return ""
	}
	patterns, err := naming.CompilePatterns(entry.Branches)
	if err != nil {
		return ""
	}
	name := naming.Variables(naming.SubjectOf(env, patterns))["CI_ENVIRONMENT_NAME"]
	if entry.Agent != "" {
		return entry.Agent + "/" + name
	}
	return name
}
