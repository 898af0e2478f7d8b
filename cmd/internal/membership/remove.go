package membership

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/cmd/internal/installation"
	"berth.dev/berth/reconciler/remote"
)

// Removal removes a cluster from an installation. It can be interrupted at any time and started again.
type Removal struct {
	Home *Home
	// There is nil if the cluster no longer exists.
	There *There
	Name  string
	// Progress is called with a line for each thing that is done or awaited.
	Progress func(line string)

	remover *installation.Remover
	survey  *installation.Survey
}

// Plan finds out what has to be done. It returns a line for each thing, and none if there is nothing to remove. It changes nothing.
func (r *Removal) Plan(ctx context.Context) (lines []string, err error) {
	if err := r.unused(ctx); err != nil {
		return nil, err
	}
	secret, err := r.Home.secret(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	if secret != nil && secret.Labels[labelCluster] == "" {
		return nil, fmt.Errorf("%s is no cluster that berth cluster add added; if it is not needed, delete it: kubectl delete secret %s -n %s", object("Secret", r.Home.Namespace, r.Name), r.Name, r.Home.Namespace)
	}
	if r.There != nil {
		identity, known := "", ""
		if secret != nil {
			identity, known = secret.Annotations[annotationIdentity], secret.Annotations[annotationNamespace]
		}
		r.There.Namespace = cmp.Or(known, r.There.Namespace, r.Home.Namespace)
		if lines, err = r.planThere(ctx, types.UID(identity)); err != nil {
			return nil, err
		}
	}
	if secret != nil {
		lines = append(lines, fmt.Sprintf("It deletes Secret/%s/%s in %s, with the agent's credentials", r.Home.Namespace, r.Name, r.Home.Context))
	}
	return lines, nil
}

// unused returns an error if environments or entries use the cluster.
func (r *Removal) unused(ctx context.Context) error {
	all, err := r.Home.uses(ctx)
	if err != nil {
		return err
	}
	uses := all[r.Name]
	switch {
	case uses == nil:
		return nil
	case len(uses.Entries) > 0:
		return fmt.Errorf("the cluster %s is in use: entries name it: %s; remove them from their Repositories first, or their cluster%s", r.Name, strings.Join(uses.Entries, ", "), running(uses.Environments))
	}
	if r.There == nil {
		return fmt.Errorf("the cluster %[1]s is in use: Environments are left: %[2]s; delete them without the cluster first: berth confirm --cluster %[1]s (what they wait for: berth get --cluster %[1]s)", r.Name, strings.Join(uses.Environments, ", "))
	}
	return fmt.Errorf("the cluster %s is in use: environments run there: %s; delete each of them first: berth delete %s", r.Name, strings.Join(uses.Environments, ", "), uses.Environments[0])
}

func running(environments []string) string {
	if len(environments) == 0 {
		return ""
	}
	return "; environments run there: " + strings.Join(environments, ", ")
}

// planThere finds out what the agent has in the cluster. An identity that is not empty must be that of the cluster.
func (r *Removal) planThere(ctx context.Context, identity types.UID) (lines []string, err error) {
	found, err := remote.Identity(ctx, r.There.Kubernetes.CoreV1())
	if err != nil {
		return nil, r.There.explain(err)
	}
	if identity != "" && found != identity {
		return nil, fmt.Errorf("the context %s reaches another cluster than %s; name the right one with --context, or, if the cluster no longer exists, use --gone", r.There.Context, r.Name)
	}
	ns, err := r.There.Kubernetes.CoreV1().Namespaces().Get(ctx, r.There.Namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, r.There.explain(err)
	}
	id, err := r.Home.installation(ctx)
	if err != nil {
		return nil, err
	}
	if ns.Annotations[annotationHome] != id {
		return nil, nil // the account of another installation, or none
	}
	r.remover = &installation.Remover{Client: r.There.Client, Kubernetes: r.There.Kubernetes, Namespace: r.There.Namespace, Progress: r.Progress}
	if r.survey, err = r.remover.SurveyAccount(ctx); err != nil {
		return nil, r.There.explain(err)
	}
	if err := r.remover.Check(ctx, r.survey); err != nil {
		return nil, fmt.Errorf("nothing was removed: %w", r.There.explain(err))
	}
	return r.describe(), nil
}

func (r *Removal) describe() (lines []string) {
	lines = append(lines, fmt.Sprintf("It deletes ServiceAccount/%s/berth in %s, and so ends its tokens", r.There.Namespace, r.There.Context))
	switch {
	case r.survey.Goes():
		lines = append(lines, fmt.Sprintf("It deletes Namespace/%s there", r.There.Namespace))
	case len(r.survey.Foreign) > 0:
		lines = append(lines, fmt.Sprintf("Namespace/%s there stays, because it holds objects that are not Berth's: %s", r.There.Namespace, strings.Join(r.survey.Foreign, ", ")))
	}
	if n := len(r.survey.Shared); n > 0 {
		lines = append(lines, fmt.Sprintf("It deletes %d roles, bindings and admission policies there", n))
	}
	if len(r.survey.Others) > 0 {
		lines = append(lines, fmt.Sprintf("Other agents have accounts in %s there, and keep the objects that they share", strings.Join(r.survey.Others, ", ")))
	}
	return lines
}

// Apply does what Plan found.
func (r *Removal) Apply(ctx context.Context) error {
	if r.survey != nil {
		if err := r.remover.RemoveAccount(ctx, r.survey); err != nil {
			return r.There.explain(err)
		}
		if _, err := r.There.revoke(ctx, ""); err != nil {
			return err
		}
	}
	err := r.Home.Kubernetes.CoreV1().Secrets(r.Home.Namespace).Delete(ctx, r.Name, metav1.DeleteOptions{})
	if err == nil {
		r.Progress(fmt.Sprintf("Secret/%s/%s: deleted", r.Home.Namespace, r.Name))
	}
	return r.Home.explain(client.IgnoreNotFound(err))
}
