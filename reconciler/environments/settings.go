package environments

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/reconciler/report"
)

// settings combine an Environment, its Repository and its entry.
type settings struct {
	reconciler.Environment
	link       string
	repository *v1alpha1.Repository
	entry      string
	literal    bool
	limit      int
	expiry     branches.Expiry
	life       report.Life
}

// identityOf returns the input of a teardown, which needs no entry.
func identityOf(env *v1alpha1.Environment, installation string) reconciler.Environment {
	e := reconciler.Environment{
		Name:       env.Name,
		ID:         naming.ID(installation, env.Spec.Repository, env.Spec.Entry, env.Spec.Branch),
		Repository: env.Spec.Repository,
		Entry:      env.Spec.Entry,
		Branch:     env.Spec.Branch,
		Cluster:    env.Spec.Cluster,
		Namespace:  env.Spec.Namespace,
		Account:    env.Spec.ServiceAccountName,
		Commit:     cmp.Or(env.Spec.Pin, env.Spec.Commit),
		Pinned:     env.Spec.Pin != "",
		Applied:    env.Status.AppliedCommit,
		Healthy:    env.Status.HealthyCommit,
		Suspended:  env.Spec.Suspend,
	}
	if branches.Pending(env, v1alpha1.AnnotationRetry, env.Status.HandledRetry) {
		e.Retry = env.Annotations[v1alpha1.AnnotationRetry]
	}
	if branches.Pending(env, v1alpha1.AnnotationConfirmed, env.Status.HandledConfirmation) {
		e.Confirmation = env.Annotations[v1alpha1.AnnotationConfirmed]
	}
	return e
}

func settingsOf(env *v1alpha1.Environment, repo *v1alpha1.Repository, entry *v1alpha1.Entry, installation string) (*settings, error) {
	patterns, err := naming.CompilePatterns(entry.Branches)
	if err != nil {
		return nil, nil // the Repository's condition reports it, and running objects stay as they are
	}
	renamed := *entry
	renamed.Name, renamed.Agent, renamed.Cluster = env.Spec.Entry, "", nil // renaming these must not change the settings
	input, err := json.Marshal(renamed)
	if err != nil {
		return nil, fmt.Errorf("reading entry %s: %w", entry.Name, err)
	}
	s := &settings{Environment: identityOf(env, installation), repository: repo, entry: entry.Name, literal: patterns.Literal()}
	if entry.Limit != nil {
		s.limit = int(*entry.Limit)
	}
	s.URL, s.Path = repo.Spec.URL, entry.Path
	s.SharedNamespace, s.Urgent = patterns.Literal(), patterns.Literal()
	s.Account = entry.ServiceAccountName
	s.Settings = string(input)
	s.Timeout = entry.Health.Timeout.Duration
	for _, e := range entry.Health.Expressions {
		s.Expressions = append(s.Expressions, reconciler.Expression{APIVersion: e.APIVersion, Kind: e.Kind, Healthy: e.Healthy, Failed: e.Failed, Progressing: e.Progressing})
	}
	s.ImagePullGrace = entry.Health.ImagePullGrace.Duration
	if entry.WaitForImages != nil {
		s.WaitForImages = entry.WaitForImages.Duration
	}
	s.Rollback = entry.Health.OnFailure == v1alpha1.FailureRollback && env.Spec.Pin == ""
	if entry.Scope == v1alpha1.ScopeCluster {
		s.Scope = reconciler.Cluster
	}
	s.NamespaceMarks = NamespaceMarks(env, entry, patterns)
	if s.Bounds, err = Bounds(entry); err != nil {
		return nil, err
	}
	subject := naming.SubjectOf(env, patterns)
	s.Variables = func(commit string) map[string]any {
		subject.Commit = commit
		return naming.Values(subject, entry.Variables)
	}
	s.Policy = reconciler.Policy(naming.PolicyOf(entry, patterns, s.Variables(s.Commit)))
	s.OtherVariables = naming.OtherVariables(repo, entry)
	s.link = naming.Expand(entry.Link, s.Variables(s.Commit))
	return s, nil
}

// live adds the time since the last activity, and the expiry that follows from it.
func (s *settings) live(env *v1alpha1.Environment, entry *v1alpha1.Entry, now time.Time) {
	if entry.ExpireAfter != nil {
		s.expiry = branches.Expire(env, entry.ExpireAfter.Duration, now)
	}
	s.life = report.Life{Activity: branches.Activity(env), LastActivity: branches.LastActivity(env, now), ExpiresAt: s.expiry.At, ExpiresSoon: s.expiry.Soon, Moved: branches.Moved(env, entry)}
}

// copy adds the Secrets that the entry copies.
func (s *settings) copy(ctx context.Context, read Secrets, env *v1alpha1.Environment, entry *v1alpha1.Entry) {
	list, digest, err := copies(ctx, read, env, entry)
	s.Copies, s.Problem = list, err
	s.Settings += digest
}
