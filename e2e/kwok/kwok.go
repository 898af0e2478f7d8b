// Package kwok simulates the node of a local cluster, without containers. Scheduled pods start, complete and misbehave
// as stages.yaml says.
package kwok

import (
	"context"
	_ "embed"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/apis/v1alpha1"
	"sigs.k8s.io/kwok/pkg/client/clientset/versioned"
	"sigs.k8s.io/kwok/pkg/kwok/controllers"
	"sigs.k8s.io/kwok/pkg/utils/client"
	"sigs.k8s.io/yaml"
)

// NodeName is the name of the only node.
const NodeName = "local"

// parallelism is how many pods change at once. With KWOK's default of 4 the node would be slower than its control
// plane.
const parallelism = 16

//go:embed stages.yaml
var stagesYAML []byte

// Node returns the node to create. Its capacity never limits a test.
func Node() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: NodeName,
		Labels: map[string]string{
			corev1.LabelHostname:   NodeName,
			corev1.LabelOSStable:   "linux",
			corev1.LabelArchStable: "amd64",
		},
	}}
}

// Run simulates the node until ctx is done.
func Run(ctx context.Context, kubeconfig string) error {
	stages, err := loadStages(stagesYAML)
	if err != nil {
		return err
	}
	config, err := newConfig(kubeconfig)
	if err != nil {
		return err
	}
	config.LocalStages = stages
	if err := serveLogs(ctx, config.TypedClient); err != nil {
		return err
	}
	controller, err := controllers.NewController(config)
	if err != nil {
		return fmt.Errorf("cannot make the simulation: %w", err)
	}
	if err := controller.Start(ctx); err != nil {
		return fmt.Errorf("cannot start the simulation: %w", err)
	}
	<-ctx.Done()
	return nil
}

func newConfig(kubeconfig string) (controllers.Config, error) {
	clients, err := client.NewClientset("", kubeconfig)
	if err != nil {
		return controllers.Config{}, err
	}
	config := controllers.Config{
		Clock:                      clock.RealClock{},
		ImpersonatingDynamicClient: clients.ToImpersonatingDynamicClient(),
		ImpersonatingTypedClient:   clients.ToImpersonatingTypedClient(),
		ManageSingleNode:           NodeName,
		CIDR:                       "10.244.0.0/16",
		NodeIP:                     "10.0.0.1",
		NodeName:                   NodeName,
		PodPlayStageParallelism:    parallelism,
		NodePlayStageParallelism:   1,
		NodeLeaseParallelism:       1,
		NodeLeaseDurationSeconds:   40,
		PodsOnNodeSyncParallelism:  parallelism,
		ID:                         NodeName,
	}
	restConfig, err := clients.ToRESTConfig()
	if err != nil {
		return config, fmt.Errorf("reading the kubeconfig %q: %w", kubeconfig, err)
	}
	if config.DynamicClient, err = clients.ToDynamicClient(); err != nil {
		return config, err
	}
	if config.RESTMapper, err = clients.ToRESTMapper(); err != nil {
		return config, err
	}
	if config.RESTClient, err = rest.RESTClientFor(restConfig); err != nil {
		return config, err
	}
	if config.TypedClient, err = kubernetes.NewForConfig(restConfig); err != nil {
		return config, err
	}
	config.TypedKwokClient, err = versioned.NewForConfig(restConfig)
	return config, err
}

// loadStages reads a list of stages. They are in one YAML document, so that they can share their selectors through
// anchors.
func loadStages(text []byte) (map[internalversion.StageResourceRef][]*internalversion.Stage, error) {
	var file struct {
		Stages []v1alpha1.Stage `json:"stages"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("reading the stages: %w", err)
	}
	stages := map[internalversion.StageResourceRef][]*internalversion.Stage{}
	for i := range file.Stages {
		stage, err := internalversion.ConvertToInternalStage(&file.Stages[i])
		if err != nil {
			return nil, fmt.Errorf("reading the stage %q: %w", file.Stages[i].Name, err)
		}
		stages[stage.Spec.ResourceRef] = append(stages[stage.Spec.ResourceRef], stage)
	}
	return stages, nil
}
