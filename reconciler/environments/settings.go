package environments

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

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

// settings returns the input of a pass. If it is nil, nothing is changed, and the text says what it waits for, if a user has
// to act.
func (e *Controller) settings(ctx context.Context, env *v1alpha1.Environment) (*settings, string, error) {
	repo := &v1alpha1.Repository{}
	err := e.Client.Get(ctx, types.NamespacedName{Namespace: env.Namespace, Name: env.Spec.Repository}, repo)
	if apierrors.IsNotFound(err) {
		if d, ok := e.Departures.Get(env); ok {
			return nil, d.Text(env), nil
		}
		return nil, fmt.Sprintf("the Repository %s does not exist; its environments stay as they are; re-create it, or delete all its environments: berth confirm --repository %s",
			env.Spec.Repository, env.Spec.Repository), nil
	}
	if err != nil {
		return nil, "", err
	}
	elsewhere := branches.ElsewhereOf(repo, e.Agent)
	repo = naming.ForAgent(repo, e.Agent)
	entry := naming.EntryOf(repo, env)
	switch {
	case entry == nil && elsewhere.Has(env):
		return nil, elsewhere.Message(env), nil
	case entry == nil || !e.Stores.Has(repo.Name):
		return nil, "", nil // the Repository deletes it, or requeues it once it can be read
	case env.Spec.Commit == "" && env.Spec.Pin == "":
		return nil, fmt.Sprintf("the branch %s has not been listed yet; wait for the next listing", env.Spec.Branch), nil
	}
	s, err := settingsOf(env, repo, entry, e.Installation)
	if err != nil || s == nil {
		return nil, "", err
	}
	if s.literal && naming.Cluster(entry) != env.Spec.Cluster {
		return nil, branches.Moved(env, entry), nil // what runs does not move, nor change, before a user confirms that
	}
	s.Source = e.Stores.State(repo.Name, s.Commit)
	if s.literal {
		s.Siblings = func() []reconciler.Sibling { return e.siblingsIn(ctx, env) }
		s.Exists = func(id string) bool { return e.exists(ctx, env, id) }
	}
	s.live(env, entry, e.Now())
	if d, ok := e.Departures.Get(env); ok {
		s.life.BranchGone = d.Text(env)
	}
	s.copy(ctx, e.copied, env, entry)
	s.decrypt(ctx, e.Keys, env, entry)
	return s, "", nil
}

// Unkeyed returns the input of a pass without the means to decrypt, for content that comes from a merge request. The input is
// not meant for a pass.
func (e *Controller) Unkeyed(ctx context.Context, name types.NamespacedName) (reconciler.Environment, error) {
	env, repo := &v1alpha1.Environment{}, &v1alpha1.Repository{}
	if err := e.Client.Get(ctx, name, env); err != nil {
		return reconciler.Environment{}, err
	}
	e.Recall(env)
	if err := e.Client.Get(ctx, types.NamespacedName{Namespace: env.Namespace, Name: env.Spec.Repository}, repo); err != nil {
		return reconciler.Environment{}, err
	}
	repo = naming.ForAgent(repo, e.Agent)
	entry := naming.EntryOf(repo, env)
	if entry == nil {
		return reconciler.Environment{}, fmt.Errorf("the Repository %s has no entry %s any more", repo.Name, env.Spec.Entry)
	}
	s, err := settingsOf(env, repo, entry, e.Installation)
	if err != nil || s == nil {
		return reconciler.Environment{}, errors.Join(err, fmt.Errorf("the patterns of entry %s are invalid", entry.Name))
	}
	s.Exists = func(id string) bool { return e.exists(ctx, env, id) }
	s.copy(ctx, e.copied, env, entry)
	if d := entry.Decryption; d != nil {
		s.DecryptedKinds = d.Kinds
	}
	return s.Environment, nil
}
