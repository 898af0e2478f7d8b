package checkup

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/secrets"
)

// hookPatience is the maximum time between a change and the webhook that reported it.
const hookPatience = time.Minute

// Repository checks a Repository, its environments as the agent reports them, and the Secrets that it names.
func (c *Checker) Repository(ctx context.Context, repo *v1alpha1.Repository, environments []v1alpha1.Environment) []Finding {
	f := &findings{about: "repository " + repo.Name}
	c.condition(f, repo)
	if f.agent(repo) {
		c.servers(ctx, f, repo)
	}
	environmentsOf(f, environments)
	c.accounts(ctx, f, slices.DeleteFunc(slices.Clone(environments), func(env v1alpha1.Environment) bool { return env.Spec.Cluster != "" }))
	for i := range repo.Spec.Environments {
		entry := &repo.Spec.Environments[i]
		of := &findings{about: EntryName(repo, entry)}
		if !RunsHere(repo, entry) {
			of.add(OK, "agent", "it belongs to %s, and is checked in that agent's cluster; the one here is %s", branches.NameOf(entry.Agent), branches.NameOf(repo.Status.Agent))
			f.all = append(f.all, of.all...)
			continue
		}
		switch d := entry.Decryption; {
		case d != nil && d.SecretRef != nil:
			c.secret(ctx, of, "keys", d.SecretRef.Name, keySecret)
		case d != nil && len(d.Allow) > 0:
			of.add(OK, "keys", "none of its own: the agent's identity is used for %s", strings.Join(d.Allow, ", "))
		}
		for _, ref := range entry.CopySecrets {
			c.secret(ctx, of, "copySecrets", ref.Name, func(*corev1.Secret) (Result, string) { return OK, "is there to be copied" })
		}
		f.all = append(f.all, of.all...)
	}
	return f.all
}

// RunsHere reports whether an entry belongs to the agent that follows its Repository in this cluster. It is true before an agent
// has followed it, because the agent's name is then unknown.
func RunsHere(repo *v1alpha1.Repository, entry *v1alpha1.Entry) bool {
	return entry.Agent == repo.Status.Agent || repo.Status.ObservedGeneration == 0
}

// agent reports whether an entry belongs to the agent here, and warns if none does: the agent may have the wrong name.
func (f *findings) agent(repo *v1alpha1.Repository) bool {
	runsHere := func(entry v1alpha1.Entry) bool { return RunsHere(repo, &entry) }
	if len(repo.Spec.Environments) == 0 || slices.ContainsFunc(repo.Spec.Environments, runsHere) {
		return true
	}
	f.add(Warning, "agent", "no entry belongs to %s, which follows it here; if one should, set agent in the entry, or restart the agent with the --agent-name that the entry has", branches.NameOf(repo.Status.Agent))
	return false
}

// servers checks the Secrets for the Git server and the forge, and how both reach the agent.
func (c *Checker) servers(ctx context.Context, f *findings, repo *v1alpha1.Repository) {
	if ref := repo.Spec.SecretRef; ref != nil {
		c.secret(ctx, f, "credentials", ref.Name, gitSecret)
	}
	c.webhook(ctx, f, repo)
	c.feedback(ctx, f, repo)
}

// Strays finds Repositories in other namespaces. No agent of c.Namespace reads them, so their status stays empty;
// those of another agent have conditions. Users who may not list all namespaces get no finding.
func (c *Checker) Strays(ctx context.Context) []Finding {
	f := &findings{about: "installation"}
	all := &v1alpha1.RepositoryList{}
	if err := c.Client.List(ctx, all); err != nil {
		return nil
	}
	for i := range all.Items {
		repo := &all.Items[i]
		if repo.Namespace == c.Namespace || len(repo.Status.Conditions) > 0 {
			continue
		}
		f.add(Warning, "namespaces", "Repository/%s in the namespace %s is followed by no agent, and its READY stays empty; move it to the namespace %s, or install an agent there",
			repo.Name, repo.Namespace, c.Namespace)
	}
	return f.all
}

// EntryName returns the subject of findings about an entry.
func EntryName(repo *v1alpha1.Repository, entry *v1alpha1.Entry) string {
	return "entry " + repo.Name + "/" + entry.Name
}

func (c *Checker) condition(f *findings, repo *v1alpha1.Repository) {
	ready := meta.FindStatusCondition(repo.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		f.add(Problem, "state", "no agent has reconciled it yet; does one run in the namespace %s?", c.Namespace)
	case ready.Reason == v1alpha1.ReasonSuspended:
		f.add(Warning, "state", "Suspended: %s", ready.Message)
	case ready.Status != metav1.ConditionTrue:
		f.add(Problem, "state", "%s: %s", ready.Reason, ready.Message)
	case repo.Status.ObservedGeneration < repo.Generation:
		f.add(Warning, "state", "the agent has not seen the newest change of the Repository yet")
	default:
		f.add(OK, "state", "%s", strings.TrimSuffix(ready.Reason+": "+ready.Message, ": "))
	}
}

// secret checks a Secret that a Repository names.
func (c *Checker) secret(ctx context.Context, f *findings, check, name string, judge func(*corev1.Secret) (Result, string)) {
	secret, err := c.Kubernetes.CoreV1().Secrets(c.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		f.add(Problem, check, "Secret/%s does not exist in the namespace %s", name, c.Namespace)
	case err != nil:
		f.unseen(check, "Secret/"+name, err)
	default:
		result, message := judge(secret)
		f.add(result, check, "Secret/%s %s", name, message)
	}
}

// The entries that Berth reads of Secrets, besides those of keys.
var (
	gitEntries  = []string{"username", "password", "bearerToken", "identity", "known_hosts", "ca.crt"}
	hookEntries = []string{"token", "signingToken", "token.previous", "signingToken.previous"}
)

func gitSecret(secret *corev1.Secret) (Result, string) { return known(secret, gitEntries, gitEntries) }

func hookSecret(secret *corev1.Secret) (Result, string) {
	return known(secret, hookEntries, hookEntries[:2])
}

// known reports whether a Secret has one of the needed entries, and which entries Berth does not read.
func known(secret *corev1.Secret, names, needed []string) (Result, string) {
	var has, unread []string
	enough := false
	for _, name := range slices.Sorted(maps.Keys(secret.Data)) {
		switch {
		case !slices.Contains(names, name):
			unread = append(unread, name)
		case len(secret.Data[name]) > 0:
			has = append(has, name)
			enough = enough || slices.Contains(needed, name)
		}
	}
	switch {
	case !enough:
		return Problem, "has none of the entries " + strings.Join(needed, ", ")
	case len(unread) > 0:
		return Warning, "has unknown entries: " + strings.Join(unread, ", ") + "; known entries are: " + strings.Join(names, ", ")
	}
	return OK, "has " + strings.Join(has, ", ")
}

// keySecret names the recipients, never a key.
func keySecret(secret *corev1.Secret) (Result, string) {
	keys, err := secrets.ParseKeys(secret.Data)
	if err != nil {
		return Problem, "does not hold keys: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	if unused := keys.Unused(); len(unused) > 0 {
		return Warning, fmt.Sprintf("holds the %v; and these entries have names of no kind of key: %s", keys, strings.Join(unused, ", "))
	}
	return OK, fmt.Sprintf("holds the %v", keys)
}

func (c *Checker) webhook(ctx context.Context, f *findings, repo *v1alpha1.Repository) {
	if repo.Spec.Webhook == nil {
		f.add(OK, "webhook", "there is none: pushes are seen at the next poll, %s", repo.Spec.Poll)
		return
	}
	c.secret(ctx, f, "webhook", repo.Spec.Webhook.SecretRef.Name, hookSecret)
	c.endpoint(ctx, f, repo.Name)
	heard, changed := repo.Status.LastHookTime, repo.Status.LastChangeTime
	switch {
	case heard == nil:
		f.add(Warning, "webhook", "none has announced a push yet; send a test from the Git server, and see docs/webhooks.md")
	case changed != nil && changed.Sub(heard.Time) > hookPatience:
		f.add(Warning, "webhook", "the last change, at %s, came without one; look at its deliveries on the Git server", changed.UTC().Format(time.RFC3339))
	default:
		f.add(OK, "webhook", "the last one came at %s", heard.UTC().Format(time.RFC3339))
	}
}

// environmentsOf counts the environments, and names those that fail.
func environmentsOf(f *findings, environments []v1alpha1.Environment) {
	counts := map[string]int{}
	var failing []Finding
	for i := range environments {
		env := &environments[i]
		ready := cmp.Or(meta.FindStatusCondition(env.Status.Conditions, v1alpha1.ConditionReady), &metav1.Condition{Reason: "not reconciled yet"})
		counts[ready.Reason]++
		switch ready.Reason {
		case v1alpha1.ReasonFailed, v1alpha1.ReasonDegraded, v1alpha1.ReasonRolledBack:
			failing = append(failing, Finding{Result: Warning, About: f.about, Check: env.Name, Message: ready.Reason + ": " + ready.Message})
		}
	}
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[reason], reason))
	}
	f.add(OK, "environments", "%s", cmp.Or(strings.Join(parts, ", "), "there is none"))
	f.all = append(f.all, failing...)
}
