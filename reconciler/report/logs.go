package report

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/observed"
)

// How much of a log is shown, of how many objects, and how long to wait for it.
const (
	logLines   = 10
	logBytes   = 2 << 10
	maxLog     = 64 << 10 // that is read
	logObjects = 3
	logTimeout = 10 * time.Second
	logsAtOnce = 4
)

// Logs brings the last lines of containers that failed: once per failure, and while nobody waits for it.
type Logs struct {
	pods typedcorev1.PodsGetter
	// wake requeues an Environment, whose report then has the log.
	wake  func(types.NamespacedName)
	slots chan struct{}

	mu    sync.Mutex
	known map[types.UID]map[container]string // by Environment; empty while it is being read
}

// container is one of a namespace.
type container struct {
	namespace string
	observed.Container
}

// NewLogs returns Logs that ask for a pass when they have read one.
func NewLogs(pods typedcorev1.PodsGetter, wake func(types.NamespacedName)) *Logs {
	return &Logs{pods: pods, wake: wake, slots: make(chan struct{}, logsAtOnce), known: map[types.UID]map[container]string{}}
}

// add puts the logs that are known into a status, and has the others read.
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
			status.Unhealthy[i].Log = logOf(env.Status, status.Unhealthy[i]) // what an agent before this one read
			go l.read(context.WithoutCancel(ctx), env.DeepCopy(), c, j.Mask)
		}
	}
	delete(l.known, env.UID)
	if len(now) > 0 {
		l.known[env.UID] = now
	}
}

// logOf returns what a status already has of the same failure.
func logOf(status v1alpha1.EnvironmentStatus, of v1alpha1.UnhealthyObject) string {
	for _, u := range status.Unhealthy {
		if u.Kind == of.Kind && u.Name == of.Name && u.Namespace == of.Namespace && u.Message == of.Message {
			return u.Log
		}
	}
	return ""
}

// read reads a log and wakes the Environment, if it still wants it. A log that cannot be read is none.
func (l *Logs) read(ctx context.Context, env *v1alpha1.Environment, c container, mask func(string) string) {
	l.slots <- struct{}{}
	defer func() { <-l.slots }()
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	lines, limit := int64(logLines), int64(maxLog)
	options := &corev1.PodLogOptions{Container: c.Name, TailLines: &lines, LimitBytes: &limit}
	text := l.tail(ctx, c, options)
	if text == "" { // it has just been started again
		options.Previous = true
		text = l.tail(ctx, c, options)
	}
	text = lastLines(mask(text))
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, wanted := l.known[env.UID][c]; wanted && text != "" {
		l.known[env.UID][c] = text
		l.wake(client.ObjectKeyFromObject(env))
	}
}

// forget drops the logs of an Environment that is gone.
func (l *Logs) forget(env types.UID) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.known, env)
}

func (l *Logs) tail(ctx context.Context, c container, options *corev1.PodLogOptions) string {
	text, err := l.pods.Pods(c.namespace).GetLogs(c.Pod, options).DoRaw(ctx)
	if err != nil || isNoLog(text) {
		return ""
	}
	if len(text) >= maxLog { // what is left of a Secret's value in a line that was cut off could not be masked
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	return string(text)
}

// isNoLog reports whether the text is what a kubelet answers, with status 200, where it has no log of a container: one
// that never started, say.
func isNoLog(text []byte) bool {
	return bytes.HasPrefix(text, []byte("unable to retrieve container logs for "))
}

// lastLines returns as many of the last lines as are shown.
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
