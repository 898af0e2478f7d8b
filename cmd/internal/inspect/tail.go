package inspect

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
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

// The limits of merged logs: of containers, of the bytes of one and of all, and of the bytes of a line, which is cut off
// there.
const (
	maxSources     = 50
	containerBytes = 4 << 20
	maxBytes       = 64 << 20
	lineBytes      = 64 << 10
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
// why. Of very many containers it reads only some, and all of them together share maxBytes.
func (i *Inspector) Tail(ctx context.Context, env *v1alpha1.Environment, sources []Source, o corev1.PodLogOptions) (lines []Line, notes []string) {
	i, err := i.at(env)
	if err != nil {
		return nil, []string{err.Error()}
	}
	if left := len(sources) - maxSources; left > 0 {
		notes = append(notes, output.Count(left, "more container")+": not read; choose a workload or a container")
		sources = sources[:maxSources]
	}
	var mu sync.Mutex
	var all errgroup.Group
	all.SetLimit(parallel)
	limit := int64(min(containerBytes, cmp.Or(i.TailBytes, maxBytes)/max(1, len(sources))))
	o.LimitBytes = &limit
	for _, source := range sources {
		all.Go(func() error {
			own, isCut, err := i.newest(ctx, env.Spec.Namespace, source, o)
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, own...)
			switch name := source.Pod + ", " + source.Container; {
			case err != nil:
				notes = append(notes, name+": "+reasonOf(err))
			case isCut:
				notes = append(notes, fmt.Sprintf("%s: only the last %s, because they are long", name, output.Count(len(own), "line")))
			}
			return nil
		})
	}
	_ = all.Wait() // errors are in the notes
	slices.SortStableFunc(lines, func(a, b Line) int { return a.Time.Compare(b.Time) })
	slices.Sort(notes)
	return lines, notes
}

// newest reads the last lines of a container that fit into the limit. The kubelet goes back by lines first and then cuts
// off the newest bytes, so newest asks for fewer lines until they fit. It reports whether lines are missing.
func (i *Inspector) newest(ctx context.Context, namespace string, source Source, o corev1.PodLogOptions) (lines []Line, isCut bool, err error) {
	for {
		lines = nil
		stream, err := i.stream(ctx, namespace, source, o)
		if err != nil {
			return nil, isCut, err
		}
		rest := &io.LimitedReader{R: stream, N: *o.LimitBytes}
		err = scan(ctx, source, rest, func(l Line) { lines = append(lines, l) })
		_ = stream.Close()
		if rest.N > 0 || len(lines) == 0 {
			return lines, isCut, err
		}
		isCut = true
		if fewer := int64(len(lines)) * 3 / 4; o.TailLines != nil && fewer > 0 && err == nil {
			o.TailLines = &fewer
			continue
		}
		// Part of a value that is to be masked may be missing in the last line.
		return lines[:len(lines)-1], isCut, err
	}
}

// Follow passes the lines of a container to a function until the log ends. With o.Follow it ends with the container, or
// with the context, which is no error.
func (i *Inspector) Follow(ctx context.Context, env *v1alpha1.Environment, source Source, o corev1.PodLogOptions, say func(Line)) error {
	i, err := i.at(env)
	if err != nil {
		return err
	}
	stream, err := i.stream(ctx, env.Spec.Namespace, source, o)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	return scan(ctx, source, stream, say)
}

// stream opens the log of a container.
func (i *Inspector) stream(ctx context.Context, namespace string, source Source, o corev1.PodLogOptions) (io.ReadCloser, error) {
	o.Container, o.Timestamps = source.Container, true
	return i.Stream(ctx, types.NamespacedName{Namespace: namespace, Name: source.Pod}, &o)
}

// scan passes the lines of a log to a function.
func scan(ctx context.Context, source Source, log io.Reader, say func(Line)) error {
	reader := bufio.NewReaderSize(log, lineBytes)
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
	i, err := i.at(env)
	if err != nil {
		return Mask{}, append(d.Notes, err.Error())
	}
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
