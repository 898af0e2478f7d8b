package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/cmd/internal/checkup"
	"berth.dev/berth/cmd/internal/installation"
	"berth.dev/berth/reconciler/remote"
)

// Addition adds a cluster to an installation. It can be interrupted at any time and started again: then it continues, and
// replaces the token.
type Addition struct {
	Home  *Home
	There *There
	// Name is the name of the cluster, and of its Secret.
	Name string
	// Validity is how long the token is to be valid; 0 is until its Secret is deleted.
	Validity  time.Duration
	Conflicts installation.Conflicts
	// Progress is called with each step that was done.
	Progress func(Step)
	Now      func() time.Time

	steps    []installation.Step
	kept     []string // what is left as it is, and why
	before   *corev1.Secret
	id       string
	identity types.UID
}

// Result is what an Addition has made.
type Result struct {
	Name string `json:"name"`
	// Server is the address by which the agent reaches the cluster.
	Server   string    `json:"server"`
	Identity types.UID `json:"identity"`
	// Namespace is that of the agent's account in the cluster.
	Namespace string `json:"namespace"`
	// Expires is when the token ends; zero is never.
	Expires time.Time `json:"expires,omitzero"`
	// Shortened means that the cluster issues no token that is valid as long as was asked for.
	Shortened bool `json:"shortened,omitempty"`
	// Unverified is why the address by which the agent reaches the cluster could not be tried from this computer.
	Unverified string `json:"unverified,omitempty"`
	Steps      []Step `json:"steps"`
}

// Plan finds out what has to be done, and whether the user may do it, by dry runs. It changes nothing.
func (a *Addition) Plan(ctx context.Context) ([]Step, error) {
	if err := a.check(ctx); err != nil {
		return nil, err
	}
	server, err := a.There.Kubernetes.Discovery().ServerVersion()
	if err != nil {
		return nil, a.There.explain(err)
	}
	if found := checkup.Cluster(server); found.Result == checkup.Problem {
		return nil, fmt.Errorf("%s: %s", a.There.Context, found.Message)
	}
	objects, err := installation.AccountObjects(a.There.Namespace)
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			object.SetAnnotations(map[string]string{annotationHome: a.id})
		}
	}
	if a.steps, err = a.plan(ctx, objects); err != nil {
		return nil, err
	}
	if err := a.store(ctx, "", metav1.DryRunAll); err != nil {
		return nil, err
	}
	var steps []Step
	for _, step := range a.steps {
		steps = append(steps, Step{a.There.Context, string(step.Action), installation.Name(step.Object)})
	}
	for _, name := range a.kept {
		steps = append(steps, Step{a.There.Context, "keep", name})
	}
	action := "create"
	if a.before != nil {
		action = "change"
	}
	return append(steps, Step{a.There.Context, "create", a.tokenName()}, Step{a.Home.Context, action, object("Secret", a.Home.Namespace, a.Name)}), nil
}

// plan plans the objects in the other cluster. What other agents there share with the account may be of another version, and
// stays as it is.
func (a *Addition) plan(ctx context.Context, objects []*unstructured.Unstructured) ([]installation.Step, error) {
	installer := &installation.Installer{Client: a.There.Dynamic, Conflicts: a.Conflicts, NamespaceFlag: "--cluster-namespace"}
	others, err := (&installation.Remover{Client: a.There.Client, Kubernetes: a.There.Kubernetes, Namespace: a.There.Namespace}).Others(ctx)
	if err != nil {
		return nil, a.There.explain(err)
	}
	if len(others) == 0 || a.Conflicts == installation.Force {
		return installer.Plan(ctx, objects)
	}
	own, shared := slices.Clone(objects), slices.Clone(objects)
	own, shared = slices.DeleteFunc(own, isShared), slices.DeleteFunc(shared, func(o *unstructured.Unstructured) bool { return !isShared(o) })
	// The dry run finds the differences, also in fields that other clients set. None of them is applied.
	steps, err := (&installation.Installer{Client: a.There.Dynamic, Conflicts: installation.Force}).Plan(ctx, shared)
	if err != nil {
		return nil, err
	}
	steps = slices.DeleteFunc(steps, func(step installation.Step) bool {
		if step.Action != installation.Change {
			return false
		}
		a.kept = append(a.kept, fmt.Sprintf("%s, which the agents in %s share; to overwrite it: --force-conflicts", installation.Name(step.Object), strings.Join(others, ", ")))
		return true
	})
	more, err := installer.Plan(ctx, own)
	return append(steps, more...), err
}

// isShared reports whether all agents in a cluster share an object.
func isShared(object *unstructured.Unstructured) bool {
	return object.GetNamespace() == "" && object.GetKind() != "Namespace" && object.GetKind() != "ClusterRoleBinding"
}

func (a *Addition) tokenName() string {
	return "a token of ServiceAccount/" + a.There.Namespace + "/berth"
}

// check finds why the cluster cannot be added.
func (a *Addition) check(ctx context.Context) (err error) {
	if a.before, err = a.Home.secret(ctx, a.Name); err != nil {
		return err
	}
	if err := a.place(); err != nil {
		return err
	}
	// The agent must accept the connection. The token is a stand-in for the real one.
	secret, err := a.There.described(a.Name, "token")
	if err != nil {
		return err
	}
	if _, err := remote.Parse(secret); err != nil {
		return fmt.Errorf("the agent cannot use the connection of %s: %w", a.There.Context, err)
	}
	if a.id, err = a.Home.installation(ctx); err != nil {
		return err
	}
	if a.identity, err = remote.Identity(ctx, a.There.Kubernetes.CoreV1()); err != nil {
		return a.There.explain(err)
	}
	if a.before != nil {
		if err := a.replaceable(); err != nil {
			return err
		}
	}
	if err := a.Home.known(ctx, a.Name, a.identity); err != nil {
		return err
	}
	return a.There.free(ctx, a.id)
}

// place determines the namespace of the account. One that exists does not move.
func (a *Addition) place() error {
	known := ""
	if a.before != nil {
		known = a.before.Annotations[annotationNamespace]
	}
	if known != "" && a.There.Namespace != "" && a.There.Namespace != known {
		return fmt.Errorf("the agent's account in %s is in the namespace %s already; leave --cluster-namespace out, or remove the cluster first: berth cluster remove %s --context %s", a.Name, known, a.Name, a.There.Context)
	}
	a.There.Namespace = cmp.Or(a.There.Namespace, known, a.Home.Namespace)
	return nil
}

// replaceable returns why the Secret cannot be replaced.
func (a *Addition) replaceable() error {
	switch was := a.before.Annotations[annotationIdentity]; {
	case a.before.Labels[labelCluster] == "":
		return fmt.Errorf("%s exists, and berth cluster add did not create it; choose another name, or delete it first: kubectl delete secret %s -n %s", object("Secret", a.Home.Namespace, a.Name), a.Name, a.Home.Namespace)
	case was != "" && was != string(a.identity):
		return fmt.Errorf("%s is another cluster than the one that the context %s reaches; choose another name, or another --context", a.Name, a.There.Context)
	}
	return nil
}

// free returns why the namespace of the account cannot be used by an installation.
func (t *There) free(ctx context.Context, id string) error {
	ns, err := t.Kubernetes.CoreV1().Namespaces().Get(ctx, t.Namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return t.explain(err)
	}
	const otherwise = "; choose another namespace for the account: --cluster-namespace NAMESPACE"
	if home := ns.Annotations[annotationHome]; home != "" {
		if home != id {
			return fmt.Errorf("%s in %s: the installation %s has its account there"+otherwise, object("Namespace", t.Namespace), t.Context, home)
		}
		return nil
	}
	_, err = t.Kubernetes.CoreV1().Secrets(t.Namespace).Get(ctx, installationSecret, metav1.GetOptions{})
	switch {
	case err == nil:
		return fmt.Errorf("%s in %s: an agent of its own runs there, and would share its account"+otherwise, object("Namespace", t.Namespace), t.Context)
	case !apierrors.IsNotFound(err):
		return t.explain(err)
	}
	return nil
}

// Apply does what Plan found, in this order: the account with its rights, the token, the Secret, and the end of earlier tokens.
func (a *Addition) Apply(ctx context.Context) (Result, error) {
	result := Result{Name: a.Name, Server: a.There.Address.Server, Identity: a.identity, Namespace: a.There.Namespace, Steps: []Step{}}
	did := func(step Step) {
		result.Steps = append(result.Steps, step)
		a.Progress(step)
	}
	installer := &installation.Installer{Client: a.There.Dynamic, Conflicts: a.Conflicts, Progress: func(step installation.Step) {
		if step.Action != installation.Unchanged {
			did(Step{a.There.Context, string(step.Action) + "d", installation.Name(step.Object)})
		}
	}}
	if err := installer.Apply(ctx, a.steps); err != nil {
		return result, err
	}
	for _, name := range a.kept {
		did(Step{a.There.Context, "kept", name})
	}
	issued, err := a.There.issue(ctx, a.Validity)
	if err != nil {
		return result, err
	}
	if result.Expires, err = a.prove(ctx, issued.text); err != nil {
		return result, err
	}
	if result.Unverified, err = a.try(ctx, issued.text); err != nil {
		return result, err
	}
	result.Shortened = !result.Expires.IsZero() && result.Expires.Sub(a.Now()) < a.Validity*9/10
	did(Step{a.There.Context, "created", a.tokenName()})
	if err := a.store(ctx, issued.text); err != nil {
		return result, err
	}
	action := "created"
	if a.before != nil {
		action = "changed"
	}
	did(Step{a.Home.Context, action, object("Secret", a.Home.Namespace, a.Name)})
	ended, err := a.There.revoke(ctx, issued.bound)
	if ended > 0 {
		did(Step{a.There.Context, "ended", "the earlier tokens of ServiceAccount/" + a.There.Namespace + "/berth"})
	}
	return result, err
}

// store writes the Secret of the cluster.
func (a *Addition) store(ctx context.Context, token string, dryRun ...string) error {
	secret, err := a.There.described(a.Name, token)
	if err != nil {
		return err
	}
	if a.before != nil {
		text := secret.Data
		secret = a.before.DeepCopy()
		secret.Data = text
	}
	secret.Namespace = a.Home.Namespace
	metav1.SetMetaDataLabel(&secret.ObjectMeta, labelCluster, "true")
	metav1.SetMetaDataLabel(&secret.ObjectMeta, partOf, product)
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, annotationIdentity, string(a.identity))
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, annotationNamespace, a.There.Namespace)
	secrets := a.Home.Kubernetes.CoreV1().Secrets(a.Home.Namespace)
	if a.before == nil {
		_, err = secrets.Create(ctx, secret, metav1.CreateOptions{DryRun: dryRun})
	} else {
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{DryRun: dryRun})
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return errors.Join(err, fmt.Errorf("another command changed the Secret at the same time; run berth cluster add %s again", a.Name))
	}
	return a.Home.explain(err)
}
