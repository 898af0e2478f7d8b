package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
)

// removalTimeout is how long the deletion of an object may take: a namespace waits for its pods.
const removalTimeout = 5 * time.Minute

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// An ownCluster is a cluster that the user already has.
type ownCluster struct {
	config          *clientcmdapi.Config // the current context only, self-contained
	context, server string
	client          dynamic.Interface
}

// openOwn reads the current context of a kubeconfig. Several files may be given, as in the variable KUBECONFIG.
func openOwn(files string) (*ownCluster, error) {
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: filepath.SplitList(files), WarnIfAllMissing: false}
	for _, file := range rules.Precedence {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("kubeconfig: %w", err)
		}
	}
	config, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", files, err)
	}
	if err := clientcmdapi.MinifyConfig(config); err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w; choose a context: kubectl config use-context NAME", files, err)
	}
	if err := clientcmdapi.FlattenConfig(config); err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", files, err)
	}
	rest, err := clientcmd.NewDefaultClientConfig(*config, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", files, err)
	}
	rest.Timeout = 30 * time.Second
	client, err := dynamic.NewForConfig(rest)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", files, err)
	}
	return &ownCluster{config: config, context: config.CurrentContext, server: rest.Host, client: client}, nil
}

func (o *ownCluster) String() string {
	return fmt.Sprintf("context %s, server %s", o.context, o.server)
}

// installed returns the objects that the demo installs, in the order to apply them. The agent itself runs on this
// machine.
func installed() ([]*unstructured.Unstructured, error) {
	objects, err := deploy.Objects()
	return slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Deployment" }), err
}

func (o *ownCluster) resource(object *unstructured.Unstructured) dynamic.ResourceInterface {
	// All kinds in deploy/ have regular plurals.
	resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	return o.client.Resource(resource).Namespace(object.GetNamespace())
}

// free returns an error if the cluster already has an object that the demo would create and later remove.
func (o *ownCluster) free(ctx context.Context) error {
	objects, err := installed()
	if err != nil {
		return err
	}
	for _, object := range objects {
		_, err := o.resource(object).Get(ctx, object.GetName(), metav1.GetOptions{})
		switch {
		case err == nil:
			return fmt.Errorf("%s: has the %s %s already: Berth seems to be installed there; use another cluster", o, object.GetKind(), object.GetName())
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("%s: cannot look for the %s %s: %w", o, object.GetKind(), object.GetName(), err)
		}
	}
	switch _, err := o.client.Resource(namespaces).Get(ctx, production, metav1.GetOptions{}); {
	case err == nil:
		return fmt.Errorf("%s: has the namespace %s already, which the demo would use; use another cluster", o, production)
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("%s: cannot look for the namespace %s: %w", o, production, err)
	}
	return nil
}

// ask asks the user to confirm the installation on a terminal.
func (o *ownCluster) ask(in *os.File, out io.Writer) error {
	fmt.Fprintf(out, `
The demo installs Berth into a cluster of yours:

   context  %s
   server   %s
   adds     what deploy/ has but the Deployment: custom resource definitions, cluster roles, admission policies and
            the namespace %s; and the namespaces %s and %s-*, which run the example
   runs     the agent, a Git server and a small forge on this machine; the agent has the rights of the ServiceAccount %s/%s,
            which can read every Secret of the cluster
   images   the cluster pulls %s
   removes  all of it again: make demo-down

`, o.context, o.server, deploy.Namespace, production, production, deploy.Namespace, deploy.ServiceAccount, standIn)
	if info, err := in.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return errors.New("nothing installed: there is no terminal to confirm it on; to install without a question, add YES=1")
	}
	fmt.Fprint(out, "Install it? [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing installed: it was not confirmed")
	}
	return nil
}

// enter copies the kubeconfig into a directory, and returns the cluster. A later demo-down reads the copy to find what
// to remove.
func (o *ownCluster) enter(dir string) (*clustertest.Cluster, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*o.config, kubeconfig); err != nil {
		return nil, err
	}
	return clustertest.Open(kubeconfig)
}

// remove removes what the demo installed, and what its agent created. The agent must have ended.
func (o *ownCluster) remove(ctx context.Context) error {
	if err := o.removeEnvironments(ctx); err != nil {
		return fmt.Errorf("%s: %w", o, err)
	}
	objects, err := installed()
	if err != nil {
		return err
	}
	for _, object := range slices.Backward(objects) {
		if err := o.delete(ctx, o.resource(object), object.GetName()); err != nil {
			return fmt.Errorf("%s: cannot remove the %s %s: %w", o, object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// removeEnvironments removes the namespaces of all environments, and the finalizers that only a running agent removes.
func (o *ownCluster) removeEnvironments(ctx context.Context) error {
	owned := map[string]bool{production: true}
	for _, resource := range []string{"environments", "repositories"} {
		client := o.client.Resource(schema.GroupVersionResource{Group: "berth.dev", Version: "v1alpha1", Resource: resource}).Namespace(deploy.Namespace)
		list, err := client.List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue // the installation was interrupted
		}
		if err != nil {
			return err
		}
		for _, item := range list.Items {
			if namespace, _, _ := unstructured.NestedString(item.Object, "spec", "namespace"); namespace != "" {
				owned[namespace] = true
			}
			_, err := client.Patch(ctx, item.GetName(), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("cannot lift the finalizer of %s: %w", item.GetName(), err)
			}
		}
	}
	list, err := o.client.Resource(namespaces).List(ctx, metav1.ListOptions{LabelSelector: "berth.dev/environment"})
	if err != nil {
		return err
	}
	for _, namespace := range list.Items {
		if !owned[namespace.GetName()] {
			continue
		}
		if err := o.delete(ctx, o.client.Resource(namespaces), namespace.GetName()); err != nil {
			return fmt.Errorf("cannot remove the namespace %s: %w", namespace.GetName(), err)
		}
	}
	return nil
}

// delete deletes an object, and waits until it is gone.
func (o *ownCluster) delete(ctx context.Context, client dynamic.ResourceInterface, name string) error {
	if err := client.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, removalTimeout, true, func(ctx context.Context) (bool, error) {
		_, err := client.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
}
