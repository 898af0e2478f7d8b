package installation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/branches"
)

// Applications says what happens to the environments that would be deleted with their Repository.
type Applications string

const (
	// DeleteThem deletes each environment whose onRemoval says so.
	DeleteThem Applications = "delete"
	// KeepThem leaves all of them running.
	KeepThem Applications = "keep"
)

// Remover removes an installation with the rights of its client. It can be interrupted at any time and started again.
type Remover struct {
	Client     client.Client
	Kubernetes kubernetes.Interface
	// Namespace is the agent's namespace.
	Namespace    string
	Applications Applications
	// ServerTime returns the API server's time, by which the agent's lease is judged.
	ServerTime func(context.Context) (time.Time, error)
	// Progress is called with a line for each thing that is done or awaited, and not again with the same line.
	Progress func(line string)

	said string
}

func (r *Remover) say(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); line != r.said {
		r.said = line
		r.Progress(line)
	}
}

// Remove removes what a Survey found. If an agent runs, it deletes the environments, because it knows what to wait for. Remove
// releases what is left of them, and that keeps running.
func (r *Remover) Remove(ctx context.Context, s *Survey) error {
	steps := []func(context.Context, *Survey) error{r.stopAgent, r.freeEnvironments, r.deletePolicies, r.release, r.releaseCopies, r.deleteHome, r.deleteRoles, r.deleteDefinitions, r.deleteReturned}
	if r.Applications == DeleteThem && len(s.Deleted()) > 0 {
		if s.Dead == "" {
			steps = slices.Insert(steps, 0, r.deleteEnvironments)
		} else {
			steps = slices.Insert(steps, 1, r.deleteNamespaces)
		}
	}
	for _, step := range slices.Insert(steps, 0, r.claimSecrets) {
		if err := step(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// deleteEnvironments deletes the Repositories, and then each Environment whose onRemoval is Delete. It waits until the agent
// has torn them down. It confirms each deletion for the deletion guard, because the user has confirmed all of them.
func (r *Remover) deleteEnvironments(ctx context.Context, s *Survey) error {
	if err := r.deleteRepositories(ctx, s); err != nil {
		return err
	}
	return poll(ctx, func(ctx context.Context) (bool, error) {
		now := &Survey{}
		if err := r.kinds(ctx, now); err != nil {
			return false, err
		}
		left := now.Deleted()
		for i := range left {
			if left[i].DeletionTimestamp.IsZero() {
				if err := r.deleteConfirmed(ctx, &left[i]); err != nil {
					return false, err
				}
			}
		}
		if len(left) > 0 {
			r.say("waiting for the agent, which deletes environments: %d left%s", len(left), deleting(left))
		}
		return len(left) == 0, nil
	})
}

func (r *Remover) deleteRepositories(ctx context.Context, s *Survey) error {
	for i := range s.Repositories {
		if err := r.delete(ctx, &s.Repositories[i]); err != nil {
			return err
		}
		r.say("Repository/%s: deleted", s.Repositories[i].Name)
	}
	return nil
}

func (r *Remover) deleteConfirmed(ctx context.Context, env *v1alpha1.Environment) error {
	before := env.DeepCopy()
	if env.Annotations == nil {
		env.Annotations = map[string]string{}
	}
	env.Annotations[v1alpha1.AnnotationConfirmed] = "uninstall-" + string(uuid.NewUUID())
	if err := client.IgnoreNotFound(r.Client.Patch(ctx, env, client.MergeFrom(before))); err != nil {
		return err
	}
	return r.delete(ctx, env)
}

// deleting says what the deletion of an environment waits for, if one has begun.
func deleting(environments []v1alpha1.Environment) string {
	for i := range environments {
		ready := meta.FindStatusCondition(environments[i].Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && ready.Reason == v1alpha1.ReasonDeleting {
			return fmt.Sprintf("; %s: %s", environments[i].Name, ready.Message)
		}
	}
	return ""
}

// stopAgent deletes the agent's Deployment, waits until its pods are gone, and deletes its rights. It then waits until no agent
// holds the lease. From then on no agent deletes environments, or marks objects again that are released.
func (r *Remover) stopAgent(ctx context.Context, s *Survey) error {
	agent := client.MatchingLabels{"app.kubernetes.io/name": product, partOf: product}
	if err := r.deleteAll(ctx, "apps/v1", "Deployment", agent); err != nil {
		return err
	}
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		pods := &metav1.PartialObjectMetadataList{}
		pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
		if err := r.Client.List(ctx, pods, client.InNamespace(r.Namespace), agent); err != nil {
			return false, err
		}
		if len(pods.Items) > 0 {
			r.say("waiting until the agent has ended: Pod/%s", pods.Items[0].Name)
		}
		return len(pods.Items) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("the agent's pods do not end: %w; see: kubectl get pods -n %s -l %s", err, r.Namespace, agentLabels)
	}
	if err := r.deleteBindings(ctx, s); err != nil {
		return err
	}
	if err := r.deleteAll(ctx, "rbac.authorization.k8s.io/v1", "RoleBinding", client.MatchingLabels{partOf: product}); err != nil {
		return err
	}
	if err := r.awaitLease(ctx); err != nil {
		return err
	}
	return r.deleteNamed(ctx, "coordination.k8s.io/v1", "Lease", leaseName)
}

// deleteNamespaces deletes the namespaces that the agent created for environments whose onRemoval is Delete. Their objects in
// other namespaces and clusters stay, because deleting them safely needs the agent.
func (r *Remover) deleteNamespaces(ctx context.Context, s *Survey) error {
	var going []*metav1.PartialObjectMetadata
	for _, env := range s.Deleted() {
		if env.Spec.Cluster != "" {
			continue
		}
		ns := &metav1.PartialObjectMetadata{}
		ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		err := r.Client.Get(ctx, client.ObjectKey{Name: env.Spec.Namespace}, ns)
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		name, spec, ours := branches.OwnerOf(ns, s.ID)
		if err != nil || s.ID == "" || !ours || name != env.Name || spec.OnRemoval != v1alpha1.RemovalDelete {
			continue
		}
		if err := r.delete(ctx, ns); err != nil {
			return err
		}
		going = append(going, ns)
	}
	return poll(ctx, func(ctx context.Context) (bool, error) {
		for _, ns := range going {
			now := &corev1.Namespace{}
			err := r.Client.Get(ctx, client.ObjectKeyFromObject(ns), now)
			if err == nil && now.UID == ns.UID {
				r.awaitGone(now)
				return false, nil
			}
			if client.IgnoreNotFound(err) != nil {
				return false, err
			}
		}
		return true, nil
	})
}

func (r *Remover) awaitGone(ns *corev1.Namespace) {
	r.say("%s", strings.TrimSuffix(fmt.Sprintf("Namespace/%s: waiting until it is gone: %s", ns.Name, health.Remaining(ns.Status.Conditions)), ": "))
}

// freeEnvironments deletes the Repositories and Environments, and removes the agent's finalizer. Without an agent, nothing else
// removes it.
func (r *Remover) freeEnvironments(ctx context.Context, s *Survey) error {
	now := &Survey{}
	if err := r.kinds(ctx, now); err != nil {
		return err
	}
	if err := r.deleteRepositories(ctx, now); err != nil {
		return err
	}
	for i := range now.Environments {
		env := &now.Environments[i]
		before := env.DeepCopy()
		if controllerutil.RemoveFinalizer(env, v1alpha1.FinalizerTeardown) {
			if err := client.IgnoreNotFound(r.Client.Patch(ctx, env, client.MergeFrom(before))); err != nil {
				return err
			}
			r.say("Environment/%s: removed its finalizer, because no agent will do so", env.Name)
		}
		if err := r.delete(ctx, env); err != nil {
			return err
		}
	}
	return nil
}
