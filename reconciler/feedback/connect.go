package feedback

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// connect connects to the forge of a Repository. It connects again, and compares everything, if the settings or the Secrets
// changed.
func (l *line) connect(ctx context.Context, repo *v1alpha1.Repository) error {
	config, err := Settings(ctx, l.secret, repo)
	setup := digest([]any{repo.Spec.Feedback, repo.Spec.URL, config.Credentials.Token, config.Credentials.App, config.Credentials.CA, fmt.Sprint(err)})
	if setup == l.setup {
		return l.unusable
	}
	l.forge, l.setup, l.unusable, l.begun = nil, setup, err, false
	l.statuses, l.notes, l.deployments = newDuty(), newDuty(), newDuty()
	l.requeue(func() { l.heard = true })
	if err == nil {
		config.Proxy, config.Wrap, config.UserAgent, config.Now = l.Proxy, l.Wrap, l.UserAgent, l.Now
		config.Sent = func(reason forge.Reason, took time.Duration) { l.Sent(l.repo.Name, string(reason), took) }
		l.forge, l.unusable = l.Connect(config)
	}
	if l.unusable == nil {
		l.forge, l.atOnce = unlocking{l.forge, &l.deciding}, config.Provider.AtOnce()
		l.moveTo(digest([]any{config.Provider, l.forge.Address()}))
	}
	return l.unusable
}

// moveTo forgets what was reported to another project: numbers of merge requests and notes mean something else here.
func (l *line) moveTo(project string) {
	if project == l.project {
		return
	}
	l.project, l.branches, l.open, l.merges, l.listed = project, map[string]*branch{}, nil, nil, time.Time{}
	l.held, l.later = map[int64]heldNote{}, map[string]bool{}
}

// Secrets reads a Secret.
type Secrets func(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error)

// secret reads a Secret from the cache.
func (l *line) secret(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	return secret, l.Client.Get(ctx, name, secret)
}

// Settings returns how to reach the forge of a Repository with spec.feedback, with the credentials from its Secret.
func Settings(ctx context.Context, read Secrets, repo *v1alpha1.Repository) (forge.Config, error) {
	f := repo.Spec.Feedback
	config := forge.Config{
		Provider: forge.Provider(cmp.Or(string(f.Provider), string(forge.ProviderOf(cmp.Or(f.URL, repo.Spec.URL))))),
		URL:      f.URL, RepositoryURL: repo.Spec.URL,
	}
	secret, err := secretOf(ctx, read, repo, f.SecretRef.Name)
	if err != nil {
		return config, err
	}
	entry := func(name string) string { return strings.TrimRight(string(secret.Data[name]), "\r\n") }
	config.Credentials = forge.Credentials{
		Token: entry("token"), CA: secret.Data["ca.crt"],
		App: forge.App{ID: entry("githubAppID"), Installation: entry("githubAppInstallationID"), Key: secret.Data["githubAppPrivateKey"]},
	}
	if config.Credentials.Token == "" && (config.Provider != forge.GitHub || len(config.Credentials.App.Key) == 0) {
		return config, &forge.Error{Reason: forge.Unauthorized, Op: "read the credentials from Secret/" + f.SecretRef.Name,
			Cause: "it has no entry token", Hint: "add it: kubectl -n " + repo.Namespace + " create secret generic " + f.SecretRef.Name + " --from-literal=token=… --dry-run=client -o yaml | kubectl apply -f -"}
	}
	if len(config.Credentials.CA) == 0 && repo.Spec.SecretRef != nil {
		if git, err := secretOf(ctx, read, repo, repo.Spec.SecretRef.Name); err == nil {
			config.Credentials.CA = git.Data["ca.crt"]
		}
	}
	return config, nil
}

func secretOf(ctx context.Context, read Secrets, repo *v1alpha1.Repository, name string) (*corev1.Secret, error) {
	secret, err := read(ctx, types.NamespacedName{Namespace: repo.Namespace, Name: name})
	if apierrors.IsNotFound(err) {
		return nil, &forge.Error{Reason: forge.Unauthorized, Op: "read the credentials from Secret/" + name, Cause: "there is no such Secret in the namespace " + repo.Namespace,
			Hint: "create it: kubectl -n " + repo.Namespace + " create secret generic " + name + " --from-literal=token=…"}
	}
	return secret, err
}
