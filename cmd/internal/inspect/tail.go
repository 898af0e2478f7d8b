package inspect

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/reconciler/manifest"
)

// The limits of merged logs: of the bytes of one container, and of the bytes of a line, which is cut off there.
const (
	containerBytes = 4 << 20
	lineBytes      = 64 << 10
	// stampBytes is the size of the time before a line, and of its end.
	stampBytes = len(time.RFC3339Nano) + 1
)

// Source is a container whose log is read.
type Source struct{ Pod, Container string }

// Line is one line of a log.
type Line struct {
	Source
	Time time.Time
	Text string
}

// Stream reads a container's log, as long as it is written if the options ask for it.
type Stream func(ctx context.Context, pod types.NamespacedName, o *corev1.PodLogOptions) (io.ReadCloser, error)

// StreamOf streams logs through the API server.
func StreamOf(pods typedcorev1.PodsGetter) Stream {
	return func(ctx context.Context, pod types.NamespacedName, o *corev1.PodLogOptions) (io.ReadCloser, error) {
		return pods.Pods(pod.Namespace).GetLogs(pod.Name, o).Stream(ctx)
	}
}

// Tail reads the last lines of containers, merged in the order of their times. It returns what could not be read, and
// why.
func (i *Inspector) Tail(ctx context.Context, namespace string, sources []Source, o corev1.PodLogOptions) (lines []Line, notes []string) {
	var mu sync.Mutex
	var all errgroup.Group
	all.SetLimit(parallel)
	limit := int64(containerBytes)
	o.LimitBytes = &limit
	for _, source := range sources {
		all.Go(func() error {
			var own []Line
			read := 0
			err := i.Follow(ctx, namespace, source, o, func(l Line) {
				own = append(own, l)
				read += len(l.Text) + stampBytes
			})
			if read >= containerBytes { // part of a value that is to be masked may be missing in the last line
				own = own[:len(own)-1]
			}
			mu.Lock()
			defer mu.Unlock()
			if lines = append(lines, own...); err != nil {
				notes = append(notes, source.Pod+", "+source.Container+": "+reasonOf(err))
			}
			return nil
		})
	}
	_ = all.Wait() // errors are in the notes
	slices.SortStableFunc(lines, func(a, b Line) int { return a.Time.Compare(b.Time) })
	slices.Sort(notes)
	return lines, notes
}

// Follow passes the lines of a container to a function until the log ends. With o.Follow it ends with the container, or
// with the context, which is no error.
func (i *Inspector) Follow(ctx context.Context, namespace string, source Source, o corev1.PodLogOptions, say func(Line)) error {
	o.Container, o.Timestamps = source.Container, true
	stream, err := i.Stream(ctx, types.NamespacedName{Namespace: namespace, Name: source.Pod}, &o)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	reader := bufio.NewReaderSize(stream, lineBytes)
	for {
		text, isPrefix, err := reader.ReadLine()
		if len(text) > 0 || err == nil {
			say(lineOf(source, string(text)))
		}
		for isPrefix && err == nil { // the rest of a line that is too long
			_, isPrefix, err = reader.ReadLine()
		}
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
}

// lineOf separates the time that the kubelet puts before a line.
func lineOf(source Source, text string) Line {
	stamp, rest, found := strings.Cut(text, " ")
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil || !found && stamp == "" {
		return Line{Source: source, Text: text}
	}
	return Line{Source: source, Time: t, Text: rest}
}

// Mask returns what hides the values of Secrets in a log of an environment, as far as the user may read them, and of the
// kinds that may hold decrypted values. The notes say what is not hidden.
func (i *Inspector) Mask(ctx context.Context, env *v1alpha1.Environment) (Mask, []string) {
	var d Description
	entry := i.entry(ctx, env, &d)
	anchor := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret"}}
	anchor.SetNamespace(env.Spec.Namespace)
	objects := []*unstructured.Unstructured{anchor}
	var decrypted manifest.Kinds
	if entry.Decryption != nil && len(entry.Decryption.Kinds) > 0 {
		decrypted = entry.Decryption.Kinds
		objects = append(objects, i.find(ctx, env, entry.Scope, &d)...)
	}
	return MaskOf(i.secretsOf(ctx, objects, decrypted, &d)...), d.Notes
}

// Mask hides values in texts.
type Mask struct{ values []string }

// MaskOf returns a Mask of values.
func MaskOf(values ...string) Mask { return Mask{slices.Compact(slices.Sorted(slices.Values(values)))} }

// Hide replaces the values in a text by a mark.
func (m Mask) Hide(text string) string { return manifest.Hide(text, m.values, output.Hidden) }

// And returns a Mask of the values of both.
func (m Mask) And(other Mask) Mask { return MaskOf(slices.Concat(m.values, other.values)...) }
