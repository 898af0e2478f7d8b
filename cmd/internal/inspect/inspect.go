// Package inspect gathers the state of an environment for a user, with that user's rights.
package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/naming"
)

// Description is an environment, its objects in the cluster, and its problems.
type Description struct {
	Environment *v1alpha1.Environment `json:"environment"`
	// Stages are the way of the current commit from Git to the link.
	Stages []Stage `json:"stages"`
	// Objects are those in the cluster and those that are missing, the worst first.
	Objects []Object `json:"objects"`
	// Logs are the last lines of failing containers.
	Logs []Log `json:"logs"`
	// Events are the latest about the Environment, the newest first.
	Events []Event `json:"events"`
	// Notes say what could not be read, and why.
	Notes []string `json:"notes"`
}

// Object is one object of an environment, as it is in the cluster.
type Object struct {
	Kind      string        `json:"kind"`
	Group     string        `json:"group,omitempty"`
	Namespace string        `json:"namespace,omitempty"`
	Name      string        `json:"name"`
	Health    health.Status `json:"health"`
	Message   string        `json:"message,omitempty"`
	// Wave is the annotation berth.dev/wave, if there is one.
	Wave      string      `json:"wave,omitempty"`
	CreatedAt metav1.Time `json:"createdAt,omitzero"`
	// Took is how long a Job ran, if it has ended.
	Took metav1.Duration `json:"took,omitzero"`
	// Pods are those of a workload, the newest first.
	Pods []Pod `json:"pods,omitempty"`

	place manifest.Place
}

// ID identifies the object among those of an environment.
func (o Object) ID() string { return ID(o.Group, o.Kind, o.Namespace, o.Name) }

// ID returns what identifies an object among those of an environment.
func ID(group, kind, namespace, name string) string {
	return strings.Join([]string{group, kind, namespace, name}, "/")
}

// Place returns the position of the object in the order of a sync.
func (o Object) Place() manifest.Place { return o.place }

// Log is the end of a container's log.
type Log struct {
	// Object is the workload, as kind/name.
	Object    string `json:"object"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	// Previous means that the log is that of the previous run, which crashed.
	Previous bool     `json:"previous,omitempty"`
	Lines    []string `json:"lines"`
	// Error is why there are no lines.
	Error string `json:"error,omitempty"`
}

// Event is an event of the agent about the Environment.
type Event struct {
	Time    metav1.Time `json:"time"`
	Type    string      `json:"type"`
	Reason  string      `json:"reason"`
	Message string      `json:"message"`
	// Object is the object that the event is also about, as kind/name.
	Object string `json:"object,omitempty"`
}

// Config configures an Inspector.
type Config struct {
	Client    client.Reader
	Discovery discovery.DiscoveryInterface
	Logs      Logs
	// Stream is needed by Tail and Follow only.
	Stream Stream
	// TailBytes is the limit of the bytes that one Tail reads; 0 means 64 MiB.
	TailBytes int
	Now       func() time.Time
	// Elsewhere returns how to read the cluster of an Environment in another cluster, with the viewer's rights there, or why
	// it cannot be read. Without it, such clusters are not read.
	Elsewhere func(env *v1alpha1.Environment) (Cluster, error)
}

// Cluster is how a viewer reads another cluster.
type Cluster struct {
	Client    client.Reader
	Discovery discovery.DiscoveryInterface
	Logs      Logs
	Stream    Stream
}

// Inspector describes environments.
type Inspector struct{ Config }

// New returns an Inspector.
func New(c Config) *Inspector { return &Inspector{c} }

// Logs reads the end of a container's log, or that of its previous run if the options ask for it.
type Logs func(ctx context.Context, pod types.NamespacedName, o *corev1.PodLogOptions) ([]byte, error)

// LogsOf reads logs through the API server.
func LogsOf(pods typedcorev1.PodsGetter) Logs {
	return func(ctx context.Context, pod types.NamespacedName, o *corev1.PodLogOptions) ([]byte, error) {
		text, err := pods.Pods(pod.Namespace).GetLogs(pod.Name, o).DoRaw(ctx)
		switch {
		case err == nil && bytes.HasPrefix(text, []byte("unable to retrieve container logs for ")):
			return nil, nil // a kubelet sends this text with status 200 if the container never started
		case err == nil:
			return text, nil
		}
		// client-go looks for the reason in a text, but the server sends an object.
		var status metav1.Status
		if json.Unmarshal(text, &status) == nil && status.Message != "" {
			return nil, &apierrors.StatusError{ErrStatus: status}
		}
		return nil, err
	}
}

// Describe describes an Environment and its objects. Whatever cannot be read becomes a note.
func (i *Inspector) Describe(ctx context.Context, env *v1alpha1.Environment) Description {
	d := Description{Environment: env, Logs: []Log{}, Events: []Event{}, Notes: []string{}}
	entry := i.entry(ctx, env, &d)
	if there, err := i.at(env); err != nil {
		d.Notes = append(d.Notes, err.Error())
		d.Objects = sorted(append(missing(env, nil), awaiting(env, nil)...))
	} else {
		there.objects(ctx, entry, &d)
	}
	d.Stages = append([]Stage{}, Stages(env, d.Objects)...)
	i.events(ctx, env, &d)
	return d
}

// objects adds the objects of the environment, and the logs of those that fail.
func (i *Inspector) objects(ctx context.Context, entry v1alpha1.Entry, d *Description) {
	env := d.Environment
	found := i.find(ctx, env, entry.Scope, d)
	if len(found) == 0 && env.Spec.Cluster != "" && env.Status.AppliedCommit != "" {
		d.Notes = append(d.Notes, fmt.Sprintf("no object of the environment was found; does your context reach the cluster %s?", env.Spec.Cluster))
	}
	judges, err := Judges(entry)
	if err != nil {
		d.Notes = append(d.Notes, fmt.Sprintf("custom resources are judged without the health.expressions of entry %s: %v", env.Spec.Entry, err))
	}
	settings := rules{judges: judges, pullGrace: entry.Health.ImagePullGrace.Duration}
	if entry.Decryption != nil {
		settings.decrypted = entry.Decryption.Kinds
	}
	judged := i.judge(ctx, found, settings, d)
	judged = append(judged, missing(env, judged)...)
	d.Objects = sorted(append(judged, awaiting(env, judged)...))
	i.warnings(ctx, env, d)
}

// at returns an Inspector of the cluster that an Environment is in.
func (i *Inspector) at(env *v1alpha1.Environment) (*Inspector, error) {
	switch {
	case env.Spec.Cluster == "":
		return i, nil
	case i.Elsewhere == nil:
		return nil, fmt.Errorf("its objects are in the cluster %s, which is not read here; on your machine: berth describe %s --cluster-context CONTEXT", env.Spec.Cluster, env.Name)
	}
	cluster, err := i.Elsewhere(env)
	if err != nil {
		return nil, err
	}
	there := *i
	there.Client, there.Discovery, there.Logs, there.Stream = cluster.Client, cluster.Discovery, cluster.Logs, cluster.Stream
	return &there, nil
}

// Judges compiles an entry's expressions for kinds without built-in health rules.
func Judges(entry v1alpha1.Entry) (*health.Expressions, error) {
	var list []health.Expression
	for _, e := range entry.Health.Expressions {
		list = append(list, health.Expression{APIVersion: e.APIVersion, Kind: e.Kind, Healthy: e.Healthy, Failed: e.Failed, Progressing: e.Progressing})
	}
	return health.Compile(list)
}

// defaultImagePullGrace applies to entries without imagePullGrace.
const defaultImagePullGrace = 10 * time.Minute

// entry returns the entry of the Repository, or its defaults if it cannot be read.
func (i *Inspector) entry(ctx context.Context, env *v1alpha1.Environment, d *Description) v1alpha1.Entry {
	standIn := v1alpha1.Entry{Health: v1alpha1.Health{ImagePullGrace: metav1.Duration{Duration: defaultImagePullGrace}}}
	repo := &v1alpha1.Repository{}
	err := i.Client.Get(ctx, types.NamespacedName{Namespace: env.Namespace, Name: env.Spec.Repository}, repo)
	if err != nil {
		d.note("the Repository "+env.Spec.Repository, err)
		return standIn
	}
	if entry := naming.EntryOf(repo, env); entry != nil {
		return *entry
	}
	d.Notes = append(d.Notes, fmt.Sprintf("the Repository %s has no entry %s any more", env.Spec.Repository, env.Spec.Entry))
	return standIn
}

// ErrNotOurs reports that a viewer may read something, and the agent, which reads it for the viewer, may not.
var ErrNotOurs = errors.New("the agent, which reads the cluster for this page, lacks the right; use berth on your machine")

// note records that something could not be read, briefly for common errors.
func (d *Description) note(what string, err error) {
	switch {
	case errors.Is(err, ErrNotOurs):
		d.Notes = append(d.Notes, what+" cannot be read here: "+ErrNotOurs.Error())
	case apierrors.IsForbidden(err):
		d.Notes = append(d.Notes, what+" cannot be read, because you lack the right")
	case apierrors.IsNotFound(err):
		d.Notes = append(d.Notes, what+" is not there")
	default:
		d.Notes = append(d.Notes, fmt.Sprintf("%s cannot be read: %v", what, err))
	}
}
