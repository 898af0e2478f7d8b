package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/naming"
)

var cluster = clustertest.Shared(clustertest.Config{APIServerOnly: true})

func TestTheNewestPodsAreToBlame(t *testing.T) {
	w := newWorld(t)
	api := w.deployment("api", "2")
	old, newest := w.replicaSet(api, "api-1", "1"), w.replicaSet(api, "api-2", "2")
	w.crashing(old, "api-1-a", "the old one")
	w.crashing(newest, "api-2-a", "first line\nlast line\n")
	d := w.describe()
	w.wants(d, "Failed Deployment/api: 0 of 1 ready; pod api-2-a: container main exited with code 2, restarted again and again")
	want := []inspect.Log{{Object: "Deployment/api", Pod: "api-2-a", Container: "main", Lines: []string{"first line", "last line"}}}
	if diff := cmp.Diff(want, d.Logs); diff != "" {
		t.Error(diff)
	}
}

func TestLogsAreShownWithoutSecrets(t *testing.T) {
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: w.meta("login"), StringData: map[string]string{"password": "hunter2", "key": "BEGIN\nLINEONE\nEND\n"}})
	w.crashing(w.replicaSet(w.deployment("api", "1"), "api-1", "1"), "api-1-a", "cannot log in with hunter2\n\nBEGIN\nLINEONE\nEND\nas the key")
	d := w.describe()
	want := []string{"cannot log in with ***", "", "***", "as the key"}
	if len(d.Logs) != 1 || !slices.Equal(d.Logs[0].Lines, want) {
		t.Errorf("the logs are %+v, want %q", d.Logs, want)
	}
}

// No workload is rolling out there.
func TestTheLogOfAPodAloneIsShownWithoutSecrets(t *testing.T) {
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: w.meta("login"), StringData: map[string]string{"password": "hunter2"}})
	pod := &corev1.Pod{ObjectMeta: w.meta("once"), Spec: template(corev1.RestartPolicyNever).Spec}
	w.create(pod)
	pod.Status = corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}},
	}}}
	w.status(pod)
	w.logs["once"] = "cannot log in with hunter2"
	d := w.describe()
	if len(d.Logs) != 1 || !slices.Equal(d.Logs[0].Lines, []string{"cannot log in with ***"}) {
		t.Errorf("the logs are %+v", d.Logs)
	}
}

func TestLogsAreShownWithoutTheValuesOfDecryptedKinds(t *testing.T) {
	w := newWorld(t)
	w.repository(v1alpha1.Entry{Name: "review", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: w.namespace,
		Decryption: &v1alpha1.Decryption{SecretRef: &v1alpha1.SecretReference{Name: "keys"}, Kinds: []string{"ConfigMap"}}})
	w.create(&corev1.ConfigMap{ObjectMeta: w.meta("login"), Data: map[string]string{"password": "hunter2"}})
	w.crashing(w.replicaSet(w.deployment("api", "1"), "api-1", "1"), "api-1-a", "cannot log in with hunter2")
	d := w.describe()
	if len(d.Logs) != 1 || !slices.Equal(d.Logs[0].Lines, []string{"cannot log in with ***"}) {
		t.Errorf("the logs are %+v, the notes %q", d.Logs, d.Notes)
	}
}

// The agent judges by the same pods: those of the newest revision, once its controller has seen the newest change.
func TestOnlyTheNewestPodsOfADaemonSetCount(t *testing.T) {
	for _, test := range []struct {
		name     string
		revision string // of the crashing pod
		observed int64
		want     string
	}{
		{"an older revision crashes", "1", 1, "Progressing DaemonSet/node: 0 of 1 ready"},
		{"the newest revision crashes", "2", 1, "Failed DaemonSet/node: 0 of 1 ready; pod node-a: container main exited with code 2, restarted again and again"},
		{"its controller has not seen the newest change", "2", 0, "Progressing DaemonSet/node: its controller has not seen the newest change yet"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			set := &appsv1.DaemonSet{ObjectMeta: w.meta("node"), Spec: appsv1.DaemonSetSpec{
				Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}, Template: template(corev1.RestartPolicyAlways)}}
			set.Annotations = map[string]string{"deprecated.daemonset.template.generation": "2"}
			w.create(set)
			set.Status = appsv1.DaemonSetStatus{ObservedGeneration: test.observed, DesiredNumberScheduled: 1, CurrentNumberScheduled: 1, UpdatedNumberScheduled: 1, NumberUnavailable: 1}
			w.status(set)
			w.crashing(set, "node-a", "a log")
			w.revise("node-a", test.revision)
			d := w.describe()
			w.wants(d, test.want)
			if failed := strings.HasPrefix(test.want, "Failed"); failed != (len(d.Logs) == 1) {
				t.Errorf("the logs are %+v", d.Logs)
			}
		})
	}
}

func TestAJobSaysHowLongItRan(t *testing.T) {
	w := newWorld(t)
	job := &batchv1.Job{ObjectMeta: w.meta("migrate"), Spec: batchv1.JobSpec{Template: template(corev1.RestartPolicyNever)}}
	w.create(job)
	began := metav1.Now().Rfc3339Copy()
	ended := metav1.Time{Time: began.Add(4 * time.Second)}
	job.Status = batchv1.JobStatus{StartTime: &began, CompletionTime: &ended, Succeeded: 1, Conditions: []batchv1.JobCondition{
		{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue}, {Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}}
	w.status(job)
	if d := w.describe(); len(d.Objects) != 1 || d.Objects[0].Took.Duration != 4*time.Second {
		t.Errorf("the objects are %+v", d.Objects)
	}
}

func TestAFailedJobHasItsLog(t *testing.T) {
	w := newWorld(t)
	job := &batchv1.Job{ObjectMeta: w.meta("migrate"), Spec: batchv1.JobSpec{Template: template(corev1.RestartPolicyNever)}}
	w.create(job)
	now := metav1.Now()
	job.Status = batchv1.JobStatus{StartTime: &now, Failed: 1, Conditions: []batchv1.JobCondition{
		{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue}, {Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded"}}}
	w.status(job)
	w.pod(job, "migrate-a", corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{
		{Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}}}}})
	w.logs["migrate-a"] = "no such table"
	d := w.describe()
	w.wants(d, "Failed Job/migrate: BackoffLimitExceeded; pod migrate-a: container main exited with code 1")
	if len(d.Logs) != 1 || !slices.Equal(d.Logs[0].Lines, []string{"no such table"}) {
		t.Errorf("the logs are %+v", d.Logs)
	}
}

func TestCustomResourcesAreJudgedByExpressions(t *testing.T) {
	w := newWorld(t)
	w.defineDatabases()
	for _, phase := range []string{"Running", "Broken"} {
		database := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Database", "status": map[string]any{"phase": phase}}}
		meta := w.meta(strings.ToLower(phase))
		database.SetName(meta.Name)
		database.SetNamespace(meta.Namespace)
		database.SetLabels(meta.Labels)
		w.apply(database)
	}
	entry := v1alpha1.Entry{Name: "review", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: w.namespace, Health: v1alpha1.Health{Expressions: []v1alpha1.HealthExpression{
		{APIVersion: "example.com/v1", Kind: "Database", Healthy: `status.phase == "Running"`, Failed: `status.phase == "Broken"`}}}}
	w.repository(entry)
	d := w.describe()
	w.wants(d, "Failed Database/broken: it has failed, as the expression failed says", "Healthy Database/running")
}

func TestLogsThatCannotBeRead(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods/log"}, "api-1-a", errors.New("no"))
	for _, test := range []struct {
		name   string
		answer func(previous bool) (string, error)
		want   inspect.Log
	}{
		{"for lack of rights", func(bool) (string, error) { return "", forbidden }, inspect.Log{Lines: []string{}, Error: "it cannot be read, because you lack the right"}},
		{"for another reason", func(bool) (string, error) { return "", errors.New("no node") }, inspect.Log{Lines: []string{}, Error: "it cannot be read: no node"}},
		{"because there is none yet", func(previous bool) (string, error) { return map[bool]string{true: "before"}[previous], nil },
			inspect.Log{Lines: []string{"before"}, Previous: true}},
		{"nor ever was", func(bool) (string, error) { return "", nil }, inspect.Log{Lines: []string{}}},
		{"as a whole", func(bool) (string, error) { return strings.Repeat("x", 1000), nil }, inspect.Log{Lines: []string{strings.Repeat("x", 400) + "…"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.crashing(w.replicaSet(w.deployment("api", "1"), "api-1", "1"), "api-1-a", "")
			w.answer = test.answer
			test.want.Object, test.want.Pod, test.want.Container = "Deployment/api", "api-1-a", "main"
			if diff := cmp.Diff([]inspect.Log{test.want}, w.describe().Logs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLogsOfTellsTheReason(t *testing.T) {
	w := newWorld(t)
	w.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "outsider", Namespace: w.namespace}})
	outsider, err := cluster(t).ConfigFor(t.Context(), w.namespace, "outsider")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		config *rest.Config
		is     func(error) bool
	}{
		{"no such pod", cluster(t).RESTConfig(), apierrors.IsNotFound},
		{"no rights", outsider, apierrors.IsForbidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			pods, err := kubernetes.NewForConfig(test.config)
			if err != nil {
				t.Fatal(err)
			}
			text, err := inspect.LogsOf(pods.CoreV1())(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "absent"}, &corev1.PodLogOptions{})
			if !test.is(err) || len(text) > 0 || !strings.Contains(err.Error(), `"absent"`) {
				t.Errorf("got %q, %v", text, err)
			}
		})
	}
}

func TestObjects(t *testing.T) {
	w := newWorld(t)
	w.create(&corev1.ConfigMap{ObjectMeta: w.meta("own")})
	w.create(&corev1.Secret{ObjectMeta: w.meta("keys"), Data: map[string][]byte{"key": []byte("hidden")}})
	strangers := w.meta("strangers")
	strangers.Labels = map[string]string{manifest.LabelEnvironment: "inst.another"}
	w.create(&corev1.ConfigMap{ObjectMeta: strangers})
	w.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "outsiders", Namespace: w.namespace}})
	made := w.meta("made-by-a-controller")
	made.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(w.deployment("api", "1"), appsv1.SchemeGroupVersion.WithKind("Deployment"))}
	w.create(&corev1.ConfigMap{ObjectMeta: made})
	w.create(&discoveryv1.EndpointSlice{ObjectMeta: w.meta("derived"), AddressType: discoveryv1.AddressTypeIPv4})
	w.env.Status.Unhealthy = []v1alpha1.UnhealthyObject{
		{Kind: "Deployment", Name: "api", Health: "Failed", Message: "older news"},
		{Kind: "Job", Name: "migrate", Health: "Failed", Message: "refused"},
	}
	d := w.describe()
	w.wants(d, "Failed Job/migrate: refused", "Progressing Deployment/api: its controller has not seen the newest change yet", "Healthy ConfigMap/own", "Healthy Secret/keys")
	if text := fmt.Sprintf("%+v", d); strings.Contains(text, "hidden") {
		t.Errorf("a Secret's value is in the description: %s", text)
	}
}

func TestObjectsOfTheCluster(t *testing.T) {
	w := newWorld(t)
	role := &rbacv1.ClusterRole{ObjectMeta: w.meta("role-of-" + w.namespace)}
	role.Namespace = ""
	w.create(role)
	w.wants(w.describe())
	w.repository(v1alpha1.Entry{Name: "review", Branches: []v1alpha1.BranchPattern{"feature"}, Namespace: w.namespace, Scope: v1alpha1.ScopeCluster, ServiceAccountName: "deployer"})
	w.wants(w.describe(), "Healthy ClusterRole/"+role.Name)
}

func TestWithoutAnyRights(t *testing.T) {
	w := newWorld(t)
	w.create(&corev1.ConfigMap{ObjectMeta: w.meta("own")})
	w.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "outsider", Namespace: w.namespace}})
	config, err := cluster(t).ConfigFor(t.Context(), w.namespace, "outsider")
	if err != nil {
		t.Fatal(err)
	}
	if w.reader, err = client.New(config, client.Options{Scheme: scheme.Scheme}); err != nil {
		t.Fatal(err)
	}
	d := w.describe()
	w.wants(d)
	notes := strings.Join(d.Notes, "\n")
	for _, want := range []string{"the Repository posts cannot be read, because you lack the right", "configmaps", "secrets", "cannot be listed, because you lack the right", "the events of the Environment cannot be read"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, notes)
		}
	}
}

// For a Job whose pods are refused, only the event has the reason.
func TestTheLastWarningIsShown(t *testing.T) {
	w := newWorld(t)
	job := &batchv1.Job{ObjectMeta: w.meta("migrate"), Spec: batchv1.JobSpec{Template: template(corev1.RestartPolicyNever)}}
	w.create(job)
	for _, e := range []struct {
		name, kind, reason, message string
		after                       time.Duration
	}{
		{"older", "Job", "FailedCreate", "exceeded quota: old", time.Minute},
		{"newer", "Job", "FailedCreate", "exceeded quota: pods", 2 * time.Minute},
		{"of-one-before", "Job", "FailedCreate", "of another Job of that name", -time.Minute},
		{"of-another", "Deployment", "FailedCreate", "of another kind", 3 * time.Minute},
		{"of-the-cluster", "Job", "MissingClusterDNS", "comes with every pod", 4 * time.Minute},
	} {
		w.create(&corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: e.name, Namespace: w.namespace}, Type: "Warning", Reason: e.reason, Message: e.message,
			InvolvedObject: corev1.ObjectReference{Kind: e.kind, Name: "migrate", Namespace: w.namespace}, LastTimestamp: metav1.Time{Time: job.CreationTimestamp.Add(e.after)}})
	}
	w.wants(w.describe(), "Progressing Job/migrate: not started; last warning: FailedCreate: exceeded quota: pods")
}

func TestEventsAreTheLastTen(t *testing.T) {
	w := newWorld(t)
	about := corev1.ObjectReference{Kind: "Environment", Name: w.env.Name, Namespace: w.namespace}
	begin := time.Now().Add(-time.Hour)
	for n := range 12 {
		at := begin.Add(time.Duration(n) * time.Minute)
		event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("event-", n), Namespace: w.namespace}, InvolvedObject: about, Reason: fmt.Sprint("R", n), Type: "Normal"}
		switch n % 3 { // as each of the two APIs writes them
		case 0:
			event.LastTimestamp = metav1.Time{Time: at}
		case 1:
			event.EventTime = metav1.MicroTime{Time: at}
			event.ReportingController, event.ReportingInstance, event.Action = "berth", "berth-0", "Sync"
		default:
			event.EventTime = metav1.MicroTime{Time: begin}
			event.Series = &corev1.EventSeries{Count: 2, LastObservedTime: metav1.MicroTime{Time: at}}
			event.ReportingController, event.ReportingInstance, event.Action = "berth", "berth-0", "Sync"
		}
		w.create(event)
	}
	var reasons []string
	for _, e := range w.describe().Events {
		reasons = append(reasons, e.Reason)
	}
	if diff := cmp.Diff("R11 R10 R9 R8 R7 R6 R5 R4 R3 R2", strings.Join(reasons, " ")); diff != "" {
		t.Error(diff)
	}
}

// world is an environment in a namespace of its own, which is also the agent's.
type world struct {
	t         *testing.T
	client    client.Client
	reader    client.Reader
	namespace string
	env       *v1alpha1.Environment
	logs      map[string]string // by pod
	answer    func(previous bool) (string, error)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := cluster(t)
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(clustertest.Apply(t.Context(), c.RESTConfig(), objects[:2]...), v1alpha1.AddToScheme(scheme.Scheme)); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, namespace: c.Namespace(t), logs: map[string]string{}}
	if w.client, err = client.New(c.RESTConfig(), client.Options{Scheme: scheme.Scheme}); err != nil {
		t.Fatal(err)
	}
	w.reader = w.client
	w.env = &v1alpha1.Environment{
		ObjectMeta: metav1.ObjectMeta{Name: "posts.review." + w.namespace, Namespace: w.namespace},
		Spec:       v1alpha1.EnvironmentSpec{Repository: "posts", Entry: "review", Branch: w.namespace, Namespace: w.namespace},
	}
	w.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: w.namespace}})
	return w
}

func (w *world) repository(entry v1alpha1.Entry) {
	w.t.Helper()
	w.create(&v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Name: "posts", Namespace: w.namespace},
		Spec:       v1alpha1.RepositorySpec{URL: "https://example.com/posts.git", Environments: []v1alpha1.Entry{entry}},
	})
}

// defineDatabases installs a kind without built-in health rules.
func (w *world) defineDatabases() {
	w.t.Helper()
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "databases.example.com"},
		"spec": map[string]any{"group": "example.com", "scope": "Namespaced", "names": map[string]any{"kind": "Database", "plural": "databases"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}},
	}}
	w.apply(definition)
	discovery := kubernetes.NewForConfigOrDie(cluster(w.t).RESTConfig()).Discovery()
	err := wait.PollUntilContextTimeout(w.t.Context(), 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		lists, err := discovery.ServerPreferredResources()
		return slices.ContainsFunc(lists, func(l *metav1.APIResourceList) bool { return l.GroupVersion == "example.com/v1" }), err
	})
	if err != nil {
		w.t.Fatalf("the kind Database is not offered: %v", err)
	}
}

func (w *world) apply(object *unstructured.Unstructured) {
	w.t.Helper()
	if err := clustertest.Apply(w.t.Context(), cluster(w.t).RESTConfig(), object); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) describe() inspect.Description {
	w.t.Helper()
	discovery, err := kubernetes.NewForConfig(cluster(w.t).RESTConfig())
	if err != nil {
		w.t.Fatal(err)
	}
	return inspect.New(inspect.Config{Client: w.reader, Discovery: discovery.Discovery(), Logs: w.log, Now: time.Now}).Describe(w.t.Context(), w.env)
}

// log replaces the kubelet, which this cluster lacks.
func (w *world) log(_ context.Context, pod types.NamespacedName, o *corev1.PodLogOptions) ([]byte, error) {
	if w.answer != nil {
		text, err := w.answer(o.Previous)
		return []byte(text), err
	}
	return []byte(w.logs[pod.Name]), nil
}

// wants compares the objects of a description, in order.
func (w *world) wants(d inspect.Description, want ...string) {
	w.t.Helper()
	var got []string
	for _, o := range d.Objects {
		line := fmt.Sprintf("%s %s/%s", o.Health, o.Kind, o.Name)
		if o.Message != "" {
			line += ": " + o.Message
		}
		got = append(got, line)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Error(diff)
	}
}

// meta returns the metadata of an object of the environment.
func (w *world) meta(name string) metav1.ObjectMeta {
	id := naming.ID("inst", w.env.Spec.Repository, w.env.Spec.Entry, w.env.Spec.Branch)
	return metav1.ObjectMeta{Name: name, Namespace: w.namespace, Labels: map[string]string{manifest.LabelEnvironment: id}}
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.t.Context(), object); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) status(object client.Object) {
	w.t.Helper()
	if err := w.client.Status().Update(w.t.Context(), object); err != nil {
		w.t.Fatal(err)
	}
}

const revision = "deployment.kubernetes.io/revision"

// deployment creates a Deployment that has begun to roll out a revision.
func (w *world) deployment(name, newest string) *appsv1.Deployment {
	w.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: w.meta(name), Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}, Template: template(corev1.RestartPolicyAlways)}}
	d.Annotations = map[string]string{revision: newest}
	w.create(d)
	return d
}

func (w *world) replicaSet(owner *appsv1.Deployment, name, of string) *appsv1.ReplicaSet {
	w.t.Helper()
	owner.Status = appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, UnavailableReplicas: 1}
	w.status(owner)
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: w.namespace, Annotations: map[string]string{revision: of},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
	}, Spec: appsv1.ReplicaSetSpec{Selector: owner.Spec.Selector, Template: owner.Spec.Template}}
	w.create(set)
	return set
}

// crashing creates a pod whose only container crashes.
func (w *world) crashing(owner client.Object, name, log string) {
	w.t.Helper()
	w.logs[name] = log
	w.pod(owner, name, corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "main", RestartCount: 7,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}},
	}}})
}

// revise makes a pod one of a revision of its DaemonSet.
func (w *world) revise(pod, revision string) {
	w.t.Helper()
	patch := fmt.Sprintf(`{"metadata": {"labels": {"pod-template-generation": %q}}}`, revision)
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: w.namespace}}
	if err := w.client.Patch(w.t.Context(), object, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pod(owner client.Object, name string, status corev1.PodStatus) {
	w.t.Helper()
	gvk, err := w.client.GroupVersionKindFor(owner)
	if err != nil {
		w.t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: w.namespace, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, gvk)},
	}, Spec: template(corev1.RestartPolicyAlways).Spec}
	if gvk.Kind == "Job" {
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	}
	w.create(pod)
	pod.Status = status
	w.status(pod)
}

func template(restart corev1.RestartPolicy) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "a"}},
		Spec:       corev1.PodSpec{RestartPolicy: restart, Containers: []corev1.Container{{Name: "main", Image: "app"}}},
	}
}
