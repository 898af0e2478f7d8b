package inspect

import (
	"bytes"
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// The limits of printed logs.
const (
	maxLogs      = 5
	logLines     = 10
	logBytes     = 8 << 10
	lineRunes    = 400
	logsPatience = 5 * time.Second
)

// rules are the settings of an entry for the judgement of its objects.
type rules struct {
	judges    *health.Expressions
	pullGrace time.Duration
	// decrypted are the kinds besides Secret that may hold decrypted values.
	decrypted manifest.Kinds
}

// judge judges every object, and workloads together with their pods.
func (i *Inspector) judge(ctx context.Context, objects []*unstructured.Unstructured, r rules, d *Description) []Object {
	judged := make([]Object, 0, len(objects))
	inNamespace := map[string]*dependants{}
	for _, object := range objects {
		h := r.judges.Of(object)
		if object.GroupVersionKind().GroupKind() == (schema.GroupKind{Kind: "Pod"}) {
			v := health.AloneOf(object).Judge(i.Now(), r.pullGrace)
			if h = v.Health; h.Status != health.Healthy {
				i.readLog(ctx, object, v.Blamed, d)
			}
		}
		var pods []Pod
		if health.HasPods(object.GroupVersionKind().GroupKind()) {
			namespace := object.GetNamespace()
			if inNamespace[namespace] == nil {
				inNamespace[namespace] = i.dependants(ctx, namespace, d)
			}
			pods = inNamespace[namespace].podsOf(object)
			if mayMove(object, h, i.Now()) {
				v := inNamespace[namespace].rollout(object, h).Judge(i.Now(), r.pullGrace)
				if h = v.Health; h.Status != health.Healthy {
					i.readLog(ctx, object, v.Blamed, d)
				}
			}
		}
		judged = append(judged, judgement(object, h, pods))
	}
	if len(d.Logs) > 0 {
		i.hide(i.secretsOf(ctx, objects, r.decrypted, d), d)
	}
	return judged
}

// mayMove reports whether a workload's pods matter to its health. They do if it has not settled, or so recently
// that its pods may still crash.
func mayMove(workload *unstructured.Unstructured, h health.Health, now time.Time) bool {
	switch h.Status {
	case health.Progressing, health.Failed:
		return true
	case health.Healthy:
		return health.TrialOf(workload).Recent(now)
	}
	return false
}

func judgement(object *unstructured.Unstructured, h health.Health, pods []Pod) Object {
	key := manifest.KeyOf(object)
	o := Object{
		Kind: key.Kind, Group: key.Group, Namespace: key.Namespace, Name: key.Name,
		Health: h.Status, Message: h.Message,
		Wave: object.GetAnnotations()[manifest.AnnotationWave], CreatedAt: object.GetCreationTimestamp(),
		Pods: pods, Took: tookOf(object),
	}
	// The agent cannot have applied an invalid wave, so the kind's own place is used.
	o.place, _ = manifest.PlaceOf(manifest.Object{Unstructured: object})
	return o
}

// tookOf returns how long a Job ran; 0 if it has not ended, or is no Job.
func tookOf(object *unstructured.Unstructured) metav1.Duration {
	at := func(field string) (time.Time, error) {
		text, _, _ := unstructured.NestedString(object.Object, "status", field)
		return time.Parse(time.RFC3339, text)
	}
	began, err := at("startTime")
	ended, notEnded := at("completionTime")
	if object.GetKind() != "Job" || err != nil || notEnded != nil {
		return metav1.Duration{}
	}
	return metav1.Duration{Duration: ended.Sub(began)}
}

// dependants are the pods of a namespace, their owners, and the events about both.
type dependants struct {
	pods        []unstructured.Unstructured
	replicaSets []metav1.PartialObjectMetadata
	events      map[types.UID][]health.Event
	claims      map[string][]health.Event
}

func (i *Inspector) dependants(ctx context.Context, namespace string, d *Description) *dependants {
	found := &dependants{events: map[types.UID][]health.Event{}, claims: map[string][]health.Event{}}
	pods := &unstructured.UnstructuredList{}
	pods.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "PodList"})
	if err := i.Client.List(ctx, pods, client.InNamespace(namespace)); err != nil {
		d.note("the pods in "+namespace, err)
	}
	sets := &metav1.PartialObjectMetadataList{}
	sets.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSetList"})
	if err := i.Client.List(ctx, sets, client.InNamespace(namespace)); err != nil {
		d.note("the ReplicaSets in "+namespace, err)
	}
	events := &unstructured.UnstructuredList{}
	events.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "EventList"})
	if err := i.Client.List(ctx, events, client.InNamespace(namespace)); err != nil {
		d.note("the events in "+namespace, err)
	}
	for n := range events.Items {
		about, e, ok := health.EventOf(&events.Items[n])
		if !ok {
			continue
		}
		found.events[about.UID] = append(found.events[about.UID], e)
		if about.Kind == "PersistentVolumeClaim" {
			found.claims[about.Name] = append(found.claims[about.Name], e)
		}
	}
	found.pods, found.replicaSets = pods.Items, sets.Items
	return found
}

// rollout combines what is known of a workload.
func (d *dependants) rollout(workload *unstructured.Unstructured, h health.Health) health.Rollout {
	r := health.Rollout{Workload: h, Trial: health.TrialOf(workload)}
	r.Pods, r.Events = health.RevisionOf(workload).Newest(d)
	return r
}

// EventsOf returns the events about an object.
func (d *dependants) EventsOf(object types.UID) []health.Event { return d.events[object] }

// PodsOf returns an owner's pods of a revision, with the events about them.
func (d *dependants) PodsOf(of types.UID, revision string) []health.Pod {
	var pods []health.Pod
	for n := range d.pods {
		pod := &d.pods[n]
		if owner, its := health.MemberOf(pod); owner == of && (revision == "" || its == revision) {
			aboutClaim := func(name string) []health.Event { return d.claims[name] }
			pods = append(pods, health.OfPod(pod).Explained(d.events[pod.GetUID()], aboutClaim))
		}
	}
	return pods
}

// ReplicaSetsOf returns a Deployment's ReplicaSets of a revision.
func (d *dependants) ReplicaSetsOf(of types.UID, revision string) []types.UID {
	var sets []types.UID
	for n := range d.replicaSets {
		set := &d.replicaSets[n]
		if owner, its := health.MemberOf(set); owner == of && (revision == "" || its == revision) {
			sets = append(sets, set.UID)
		}
	}
	return sets
}

// readLog reads the log of the failing container. A container that never ran has no log. One that waits for its
// restart has that of its last run.
func (i *Inspector) readLog(ctx context.Context, workload *unstructured.Unstructured, pod health.Pod, d *Description) {
	if pod.Container == "" || !hasRun(pod) || len(d.Logs) == maxLogs {
		return
	}
	log := Log{Object: manifest.KeyOf(workload).Short(), Pod: pod.Name, Container: pod.Container, Lines: []string{}}
	name := types.NamespacedName{Namespace: workload.GetNamespace(), Name: pod.Name}
	text, err := i.read(ctx, name, &log)
	if err != nil {
		log.Error = reasonOf(err)
	}
	for line := range bytes.Lines(text) {
		log.Lines = append(log.Lines, strings.TrimRight(string(line), "\r\n"))
	}
	d.Logs = append(d.Logs, log)
}

func hasRun(pod health.Pod) bool {
	return pod.Restarts > 0 || pod.Ended || pod.ExitCode != 0
}

// read reads the container's current log. If that is empty because the container has just restarted, it reads the
// previous one.
func (i *Inspector) read(ctx context.Context, pod types.NamespacedName, log *Log) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, logsPatience)
	defer cancel()
	lines, limit := int64(logLines), int64(logBytes)
	options := &corev1.PodLogOptions{Container: log.Container, TailLines: &lines, LimitBytes: &limit}
	text, err := i.Logs(ctx, pod, options)
	if err == nil && len(bytes.TrimSpace(text)) > 0 {
		return whole(text), nil
	}
	options.Previous = true
	before, previousErr := i.Logs(ctx, pod, options)
	if previousErr == nil && len(bytes.TrimSpace(before)) > 0 {
		log.Previous = true
		return whole(before), nil
	}
	return nil, err
}

// whole drops a line that was cut off at the limit, because part of a Secret's value could not be masked.
func whole(text []byte) []byte {
	if len(text) < logBytes {
		return text
	}
	return text[:bytes.LastIndexByte(text, '\n')+1]
}

// secretsOf returns the values that may be secret in the namespaces of the objects, as far as the user may read them: those
// of all Secrets there, and those of the objects that may hold decrypted values.
func (i *Inspector) secretsOf(ctx context.Context, objects []*unstructured.Unstructured, decrypted manifest.Kinds, d *Description) (values []string) {
	searched := map[string]bool{"": true}
	for _, object := range objects {
		if namespace := object.GetNamespace(); !searched[namespace] {
			searched[namespace] = true
			secrets := &unstructured.UnstructuredList{}
			secrets.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "SecretList"})
			if err := i.Client.List(ctx, secrets, client.InNamespace(namespace)); err != nil {
				d.note("values of Secrets are not masked in the logs: the Secrets in "+namespace, err)
			}
			for n := range secrets.Items {
				values = append(values, manifest.Values(&secrets.Items[n])...)
			}
		}
		if key := manifest.KeyOf(object); key.GroupKind() != manifest.SecretKind && decrypted.MayHoldSecrets(key.GroupKind()) {
			whole := &unstructured.Unstructured{}
			whole.SetGroupVersionKind(object.GroupVersionKind())
			if err := i.Client.Get(ctx, client.ObjectKeyFromObject(object), whole); err != nil {
				d.note("values are not masked in the logs: "+key.Short(), err)
			}
			values = append(values, manifest.Values(whole)...)
		}
	}
	return values
}

// hide masks values in the logs.
func (i *Inspector) hide(values []string, d *Description) {
	for n, log := range d.Logs {
		text := manifest.Hide(strings.Join(log.Lines, "\n"), values, output.Hidden)
		d.Logs[n].Lines = log.Lines[:0]
		for line := range strings.Lines(text) {
			d.Logs[n].Lines = append(d.Logs[n].Lines, shortened(strings.TrimSuffix(line, "\n")))
		}
	}
}

func reasonOf(err error) string {
	if apierrors.IsForbidden(err) {
		return "it cannot be read, because you lack the right"
	}
	return "it cannot be read: " + err.Error()
}

func shortened(line string) string {
	if runes := []rune(line); len(runes) > lineRunes {
		return string(runes[:lineRunes]) + "…"
	}
	return line
}
