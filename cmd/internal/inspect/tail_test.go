package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
)

// posts is the environment whose containers the tests read.
var posts = &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Namespace: "posts"}}

// tailing returns an Inspector whose containers have the logs, by pod and container.
func tailing(logs map[string]string) *inspect.Inspector {
	return inspect.New(inspect.Config{Stream: func(_ context.Context, pod types.NamespacedName, o *corev1.PodLogOptions) (io.ReadCloser, error) {
		text, ok := logs[pod.Name+"/"+o.Container]
		if !ok {
			return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods/log"}, pod.Name, errors.New("no"))
		}
		if !o.Timestamps {
			return nil, errors.New("lines without times cannot be merged")
		}
		return io.NopCloser(strings.NewReader(text)), nil
	}})
}

func TestLogsAreMergedByTime(t *testing.T) {
	i := tailing(map[string]string{
		"a/main": "2026-05-04T12:00:01.000000001Z one\n2026-05-04T12:00:03Z three\n",
		"b/main": "2026-05-04T12:00:02.5Z two with  spaces\n2026-05-04T12:00:04Z \n2026-05-04T12:00:05Z five",
	})
	sources := []inspect.Source{{Pod: "b", Container: "main"}, {Pod: "a", Container: "main"}, {Pod: "c", Container: "main"}}
	lines, notes := i.Tail(t.Context(), posts, sources, corev1.PodLogOptions{})
	var texts []string
	for _, l := range lines {
		texts = append(texts, l.Pod+":"+l.Text)
	}
	if want := []string{"a:one", "b:two with  spaces", "a:three", "b:", "b:five"}; !slices.Equal(texts, want) {
		t.Errorf("the lines are %q, want %q", texts, want)
	}
	if want := []string{"c, main: it cannot be read, because you lack the right"}; !slices.Equal(notes, want) {
		t.Errorf("the notes are %q, want %q", notes, want)
	}
}

func TestALineThatIsTooLongIsCutOff(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	i := tailing(map[string]string{"a/main": "2026-05-04T12:00:01Z " + long + "\n2026-05-04T12:00:02Z after\nno time\n"})
	var got []string
	err := i.Follow(t.Context(), posts, inspect.Source{Pod: "a", Container: "main"}, corev1.PodLogOptions{Follow: true}, func(l inspect.Line) {
		got = append(got, fmt.Sprintf("%.5s %d", l.Text, min(len(l.Text), 70_000)/10_000))
	})
	if want := []string{"xxxxx 6", "after 0", "no ti 0"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("the lines are %q, %v; want %q", got, err, want)
	}
}

// The API server cuts a log off at the limit. Part of a Secret's value could then not be recognised.
func TestALogThatIsTooLongLosesItsLastLine(t *testing.T) {
	line := "2026-05-04T12:00:01.000000000Z " + strings.Repeat("x", 1000) + "\n"
	i := tailing(map[string]string{"a/main": strings.Repeat(line, 5000) + "2026-05-04T12:00:01.000000000Z hunt"})
	lines, _ := i.Tail(t.Context(), posts, []inspect.Source{{Pod: "a", Container: "main"}}, corev1.PodLogOptions{})
	if len(lines) == 0 || lines[len(lines)-1].Text == "hunt" {
		t.Errorf("the last of %d lines is still there", len(lines))
	}
}

// kubelet returns an Inspector whose containers have these lines. It goes back by lines first, and then cuts off bytes.
func kubelet(lines ...string) *inspect.Inspector {
	return inspect.New(inspect.Config{Stream: func(_ context.Context, _ types.NamespacedName, o *corev1.PodLogOptions) (io.ReadCloser, error) {
		from := max(0, len(lines)-int(*o.TailLines))
		return io.NopCloser(io.LimitReader(strings.NewReader(strings.Join(lines[from:], "")), *o.LimitBytes)), nil
	}})
}

func stamped(text string) string { return "2026-05-04T12:00:01.000000000Z " + text + "\n" }

func TestLongLinesLeaveOutTheOldestOnes(t *testing.T) {
	long := make([]string, 5000)
	for n := range long {
		long[n] = stamped(fmt.Sprintf("%d %s", n, strings.Repeat("x", 2000)))
	}
	most := int64(20_000)
	lines, notes := kubelet(long...).Tail(t.Context(), posts, []inspect.Source{{Pod: "a", Container: "main"}}, corev1.PodLogOptions{TailLines: &most})
	if len(lines) < 1000 || !strings.HasPrefix(lines[len(lines)-1].Text, "4999 x") {
		t.Errorf("it has %d lines without the newest", len(lines))
	}
	if want := fmt.Sprintf("a, main: only the last %d lines, because they are long", len(lines)); !slices.Equal(notes, []string{want}) {
		t.Errorf("the notes are %q, want %q", notes, want)
	}
}

// Such a line counts with all its bytes, of which only the first are shown.
func TestVeryLongLinesLeaveOutTheOldestOnes(t *testing.T) {
	long := slices.Repeat([]string{stamped(strings.Repeat("x", 1<<20))}, 6)
	long[5] = stamped("newest")
	most := int64(20_000)
	lines, _ := kubelet(long...).Tail(t.Context(), posts, []inspect.Source{{Pod: "a", Container: "main"}}, corev1.PodLogOptions{TailLines: &most})
	if len(lines) == 0 || lines[len(lines)-1].Text != "newest" {
		t.Errorf("it has %d lines without the newest", len(lines))
	}
}

func TestLogsOfVeryManyContainersAreBounded(t *testing.T) {
	var sources []inspect.Source
	for n := range 60 {
		sources = append(sources, inspect.Source{Pod: fmt.Sprintf("a-%d", n), Container: "main"})
	}
	long := slices.Repeat([]string{stamped(strings.Repeat("x", 60_000))}, 60)
	most := int64(60)
	lines, notes := kubelet(long...).Tail(t.Context(), posts, sources, corev1.PodLogOptions{TailLines: &most})
	pods, bytes := map[string]bool{}, 0
	for _, l := range lines {
		pods[l.Pod], bytes = true, bytes+len(l.Text)
	}
	if len(pods) != 50 || bytes > 64<<20 || !slices.Contains(notes, "10 more containers: not read; choose a workload or a container") {
		t.Errorf("it has %d bytes of %d pods: %q", bytes, len(pods), notes)
	}
}

// The logs of an environment in another cluster are read there. Without access to it, those of pods with the same names at home
// are not shown instead.
func TestLogsOfAnotherClusterAreReadThere(t *testing.T) {
	far := posts.DeepCopy()
	far.Name, far.Spec.Cluster = "posts.review.login", "staging"
	sources := []inspect.Source{{Pod: "a", Container: "main"}}
	home := tailing(map[string]string{"a/main": "2026-05-04T12:00:01Z home\n"})
	lines, notes := home.Tail(t.Context(), far, sources, corev1.PodLogOptions{})
	if len(lines) > 0 || len(notes) != 1 || !strings.Contains(notes[0], "its objects are in the cluster staging, which is not read here") {
		t.Errorf("without access, the lines are %v, and the notes %q", lines, notes)
	}
	if err := home.Follow(t.Context(), far, sources[0], corev1.PodLogOptions{}, func(inspect.Line) {}); err == nil {
		t.Error("without access, the log is followed")
	}
	home.Elsewhere = func(env *v1alpha1.Environment) (inspect.Cluster, error) {
		return inspect.Cluster{Stream: tailing(map[string]string{"a/main": "2026-05-04T12:00:01Z " + env.Spec.Cluster + "\n"}).Stream}, nil
	}
	lines, notes = home.Tail(t.Context(), far, sources, corev1.PodLogOptions{})
	if len(lines) != 1 || lines[0].Text != "staging" || len(notes) > 0 {
		t.Errorf("with access, the lines are %v, and the notes %q", lines, notes)
	}
	if lines, _ = home.Tail(t.Context(), posts, sources, corev1.PodLogOptions{}); len(lines) != 1 || lines[0].Text != "home" {
		t.Errorf("the lines at home are %v", lines)
	}
}
