package checkup

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
)

// Account is the agent's account in another cluster. It is checked with its own credentials.
type Account struct {
	Kubernetes kubernetes.Interface
	// As returns a client that impersonates a user.
	As func(user string) (kubernetes.Interface, error)
	// About is the subject of the findings. Hint is the next step if the account lacks something.
	About, Hint string
}

// Check checks that the account has the rights that objects grant to the agent, and that the other objects are in the cluster:
// the admission policies, and the role of the accounts of environments. The environments are those in the cluster.
func (a *Account) Check(ctx context.Context, objects []*unstructured.Unstructured, environments []v1alpha1.Environment) []Finding {
	c := &Checker{Config: Config{Kubernetes: a.Kubernetes}, account: deploy.ServiceAccount, in: a}
	f := &findings{about: a.About}
	a.granted(ctx, c, f, objects)
	f.policies(objects, a.Hint, func(wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return a.find(ctx, wanted)
	})
	a.role(ctx, f)
	c.accounts(ctx, f, environments)
	return f.all
}

func (a *Account) granted(ctx context.Context, c *Checker, f *findings, objects []*unstructured.Unstructured) {
	wanted, err := c.granted(objects)
	if err != nil {
		f.unseen("rights", "what deploy/ grants", err)
		return
	}
	switch lacking, err := c.lacking(ctx, c.Namespace, c.account, wanted); {
	case err != nil:
		f.unseen("rights", "the rights of the agent's account (SelfSubjectAccessReview)", err)
	case len(lacking) > 0:
		f.add(Problem, "rights", "the agent's account may not %s; %s", told(lacking), a.Hint)
	default:
		f.add(OK, "rights", "the agent's account may do all that it needs")
	}
}

// find reads an admission object. The account may only list them.
func (a *Account) find(ctx context.Context, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	resource, _ := meta.UnsafeGuessKindToResource(wanted.GroupVersionKind())
	text, err := a.Kubernetes.AdmissionregistrationV1().RESTClient().Get().Resource(resource.Resource).
		Param("fieldSelector", "metadata.name="+wanted.GetName()).Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	list := &unstructured.UnstructuredList{}
	if err := list.UnmarshalJSON(text); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, apierrors.NewNotFound(resource.GroupResource(), wanted.GetName())
	}
	return &list.Items[0], nil
}

// role checks that the role of the accounts of environments exists, if the account may read it. With the rights of deploy/ it
// may not; those who grant these create the role too.
func (a *Account) role(ctx context.Context, f *findings) {
	_, err := a.Kubernetes.RbacV1().ClusterRoles().Get(ctx, environmentRole, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		f.add(Problem, "accounts", "ClusterRole/%s does not exist, so nothing from Git can be applied; %s", environmentRole, a.Hint)
	}
}

// environmentRole is the ClusterRole that the agent binds to the account of each environment.
const environmentRole = "berth-environment"
