package report

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/panics"
	"berth.dev/berth/reconciler/observed"
)

// The limits: how much of a log is shown, for how many objects, and how long to wait for it.
const (
	logLines   = 10
	logBytes   = 2 << 10
	maxLog     = 64 << 10 // how much of a log is read
	logObjects = 3
	logTimeout = 10 * time.Second
	logsAtOnce = 4
)

// Logs fetches the last lines of failed containers, once per failure and in the background.
type Logs struct {
	pods func(env *v1alpha1.Environment) typedcorev1.PodsGetter
	// requeue requeues an Environment, whose report then has the log.
	requeue func(types.NamespacedName)
	// log gets a line if the content of a log makes the reader panic.
	log *slog.Logger

	mu    sync.Mutex
	slots map[string]chan struct{}           // by cluster
	known map[types.UID]map[container]string // by Environment; the text is empty while the log is being read
}

// container is a container in a namespace.
type container struct {
	namespace string
	observed.Container
}

// NewLogs returns Logs that request a pass after they have read a log. pods returns where to read the logs of an Environment;
// nil: that is not possible now.
func NewLogs(pods func(*v1alpha1.Environment) typedcorev1.PodsGetter, requeue func(types.NamespacedName), log *slog.Logger) *Logs {
	return &Logs{pods: pods, requeue: requeue, log: log, slots: map[string]chan struct{}{}, known: map[types.UID]map[container]string{}}
}

// slotsOf returns the slots of a cluster. Its slow answers delay no other.
func (l *Logs) slotsOf(cluster string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	slots, ok := l.slots[cluster]
	if !ok {
		slots = make(chan struct{}, logsAtOnce)
		l.slots[cluster] = slots
	}
	return slots
}

// add adds the known logs to a status, and starts reading the others.
func (l *Logs) add(ctx context.Context, env *v1alpha1.Environment, status *v1alpha1.EnvironmentStatus, s Standing) {
	j, ok := s.judged()
	if l == nil || !ok || !s.ShowLogs || j.Mask == nil || j.Objects == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before, now := l.known[env.UID], map[container]string{}
	for i, p := range j.Objects.Unhealthy[:min(logObjects, len(j.Objects.Unhealthy), len(status.Unhealthy))] {
		if p.Log == nil {
			status.Unhealthy[i].Log = logOf(env.Status, status.Unhealthy[i]) // the pod of a Job may be gone
			continue
		}
		c := container{namespace: p.Key.Namespace, Container: *p.Log}
		text, asked := before[c]
		now[c] = text
		status.Unhealthy[i].Log = text
		if !asked {
			status.Unhealthy[i].Log = logOf(env.Status, status.Unhealthy[i]) // the log that an earlier agent read
			reading, of := context.WithoutCancel(ctx), env.DeepCopy()
			go l.try(of, func() { l.read(reading, of, c, j.Mask) })
		}
	}
	delete(l.known, env.UID)
	if len(now) > 0 {
		l.known[env.UID] = now
	}
}

// logOf returns the log that a status already has for the same failure.
func logOf(status v1alpha1.EnvironmentStatus, of v1alpha1.UnhealthyObject) string {
	for _, u := range status.Unhealthy {
		if u.Kind == of.Kind && u.Name == of.Name && u.Namespace == of.Namespace && u.Message == of.Message {
			return u.Log
		}
	}
	return ""
}

// try calls read. If the content of a log makes it panic, the log counts as empty.
func (l *Logs) try(env *v1alpha1.Environment, read func()) {
	err := panics.Catch(func() error {
		read()
		return nil
	})
	if caught, ok := errors.AsType[*panics.Error](err); ok {
		l.log.Error("reading a log failed", "environment", env.Name, "panic", caught.Cause, "stack", caught.Stack)
	}
}

// read reads a log and requeues the Environment, if the log is still wanted. A log that cannot be read counts as empty.
func (l *Logs) read(ctx context.Context, env *v1alpha1.Environment, c container, mask func(string) string) {
	slots, pods := l.slotsOf(env.Spec.Cluster), l.pods(env)
	if pods == nil {
		return
	}
	slots <- struct{}{}
	defer func() { <-slots }()
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	lines, limit := int64(logLines), int64(maxLog)
	options := &corev1.PodLogOptions{Container: c.Name, TailLines: &lines, LimitBytes: &limit}
	text := tail(ctx, pods, c, options)
	if text == "" { // the container was just restarted
		options.Previous = true
		text = tail(ctx, pods, c, options)
	}
	text = lastLines(mask(text))
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, wanted := l.known[env.UID][c]; wanted && text != "" {
		l.known[env.UID][c] = text
		l.requeue(client.ObjectKeyFromObject(env))
	}
}

// forget drops the logs of a deleted Environment.
func (l *Logs) forget(env types.UID) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.known, env)
}

func tail(ctx context.Context, pods typedcorev1.PodsGetter, c container, options *corev1.PodLogOptions) string {
	stream, err := pods.Pods(c.namespace).GetLogs(c.Pod, options).Stream(ctx)
	if err != nil {
		return ""
	}
	defer stream.Close()
	text, err := io.ReadAll(io.LimitReader(stream, maxLog)) // whatever the server makes of the options
	if err != nil || isNoLog(text) {
		return ""
	}
	if len(text) >= maxLog { // a Secret's value in a truncated line could not be masked
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	return string(text)
}

// isNoLog reports whether the text is a kubelet's answer, with status 200, that a container has no log. Such a
// container may never have started.
func isNoLog(text []byte) bool {
	return bytes.HasPrefix(text, []byte("unable to retrieve container logs for "))
}

// lastLines returns the last lines of a log, up to the limits.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(text, "?")), "\n")
	lines = lines[max(0, len(lines)-logLines):]
	for len(lines) > 1 && len(strings.Join(lines, "\n")) > logBytes {
		lines = lines[1:]
	}
	shown := strings.Join(lines, "\n")
	if len(shown) > logBytes {
		shown = strings.ToValidUTF8(shown[len(shown)-logBytes:], "")
	}
	return shown
}
