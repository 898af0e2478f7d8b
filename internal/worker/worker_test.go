package worker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth.dev/berth/internal/worker"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		os.Exit(worker.Serve(os.Stdin, os.Stdout, child))
	}
	if len(os.Args) > 1 && os.Args[1] == "parent" {
		parent()
	}
	os.Exit(m.Run())
}

// litter keeps the compiler from leaving out an allocation.
var litter []byte

// child does what each request says, and answers with a text.
func child(c *worker.Conn) error {
	var task string
	if err := c.Receive(&task); err != nil {
		return err
	}
	answer := task
	switch task {
	case "spin":
		for {
			answer = strings.ToUpper(answer)
		}
	case "allocate":
		var all [][]byte
		for {
			all = append(all, make([]byte, 1<<20))
			for i := range all[len(all)-1] {
				all[len(all)-1][i] = 1
			}
		}
	case "allocate at once":
		answer = fmt.Sprint(len(make([]byte, 1<<33)))
	case "litter": // as if the collector came too late
		debug.SetGCPercent(-1)
		debug.SetMemoryLimit(math.MaxInt64)
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 30 {
			litter = make([]byte, 1<<20)
		}
		for now.NumGC = before.NumGC; now.NumGC == before.NumGC; time.Sleep(time.Millisecond) {
			runtime.ReadMemStats(&now)
		}
	case "recurse":
		answer = fmt.Sprint(recurse(1))
	case "hang":
		select {}
	case "refuse":
		return errors.New(task)
	case "panic":
		fmt.Fprint(os.Stderr, "a library writes half a line, ", strings.Repeat("and a long one ", 100_000), "\n")
		go panic("a secret")
		select {}
	case "segmentation violation": // as in the runtime's garbage collector, where an allocation failed
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		select {}
	case "exit":
		os.Exit(2)
	case "mutex": // an error of the runtime that no recover catches, and that is not about memory
		new(sync.Mutex).Unlock()
	case "environment":
		answer = strings.Join(os.Environ(), " ")
	case "folder":
		answer, _ = os.Getwd()
	case "open":
		_, err := os.Open("/")
		answer = fmt.Sprint(err)
	case "run":
		answer = fmt.Sprint(exec.Command("/bin/true").Run() != nil)
	case "descriptors":
		answer = ""
		for fd := 3; fd < 100; fd++ {
			var stat syscall.Stat_t
			if syscall.Fstat(fd, &stat) == nil {
				answer += fmt.Sprint(" inode ", stat.Ino, ";")
			}
		}
	case "log":
		fmt.Fprintln(os.Stderr, "a secret")
	case "much":
		answer = strings.Repeat("x", 1<<20)
	}
	return c.Send(answer)
}

// recurse recurses until the stack overflows.
func recurse(n int) int {
	if n < 0 {
		return 0
	}
	return recurse(n+1) + 1
}

// parent starts a child that is busy, prints its process id, and waits to be killed.
func parent() {
	p, err := worker.Start(worker.Config{Command: []string{os.Args[0], "child"}})
	if err != nil {
		panic(err)
	}
	fmt.Println(p.PID())
	_ = p.Exchange(context.Background(), func(c *worker.Conn) error { return ask(c, "spin", nil) })
}

func start(t *testing.T, l worker.Limits) *worker.Process {
	t.Helper()
	p, err := worker.Start(worker.Config{Command: []string{os.Args[0], "child"}, Environment: []string{"A=b"}, Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

func ask(c *worker.Conn, task string, answer *string) error {
	if err := c.Send(task); err != nil {
		return err
	}
	if answer == nil {
		answer = new(string)
	}
	return c.Receive(answer)
}

func exchange(t *testing.T, p *worker.Process, task string) (answer string, err error) {
	t.Helper()
	err = p.Exchange(t.Context(), func(c *worker.Conn) error { return ask(c, task, &answer) })
	return answer, err
}

var limits = worker.Limits{Memory: 64 << 20, CPU: time.Second, Time: time.Minute}

func TestWhatAChildFinds(t *testing.T) {
	p := start(t, limits)
	for _, c := range []struct{ task, want string }{
		{"hello", "hello"},
		{"environment", "A=b"},
		{"folder", "/"},
		{"open", "open /: too many open files"},
		{"run", "true"},
		{"log", "log"},
	} {
		got, err := exchange(t, p, c.task)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.task, got, err, c.want)
		}
	}
}

func TestAChildInheritsNoDescriptors(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	leaked, err := syscall.Dup(int(file.Fd())) // without close-on-exec, which Go sets, like a descriptor that a shell left open
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(leaked) })
	var stat syscall.Stat_t
	if err := syscall.Fstat(leaked, &stat); err != nil {
		t.Fatal(err)
	}
	got, err := exchange(t, start(t, limits), "descriptors")
	if err != nil || strings.Contains(got, fmt.Sprint(" inode ", stat.Ino, ";")) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestEverythingCanBeReachedIfAskedFor(t *testing.T) {
	l := limits
	l.Reach = worker.Everything
	if got, err := exchange(t, start(t, l), "open"); err != nil || got != "<nil>" {
		t.Errorf("got %q, %v", got, err)
	}
}

// On a busy machine most of the memory may be garbage that has not been collected yet.
func TestGarbageEndsNoChild(t *testing.T) {
	l := limits
	l.Memory = 32 << 20
	if got, err := exchange(t, start(t, l), "litter"); err != nil || got != "litter" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLimitsEndAChild(t *testing.T) {
	for task, want := range map[string]worker.Resource{
		"spin": worker.ProcessorTime, "allocate": worker.Memory, "allocate at once": worker.Memory, "recurse": worker.Memory,
		"segmentation violation": worker.Memory,
	} {
		t.Run(task, func(t *testing.T) {
			l := limits
			if want == worker.Memory {
				l.CPU = 20 * time.Second // the race detector makes each write expensive
			}
			_, err := exchange(t, start(t, l), task)
			limit, ok := errors.AsType[*worker.LimitError](err)
			if !ok || limit.Resource != want {
				t.Errorf("got %v, want the limit of %s", err, want)
			}
		})
	}
	l := limits
	l.Time = 50 * time.Millisecond
	_, err := exchange(t, start(t, l), "hang")
	if fmt.Sprint(err) != "it takes more time than the limit of 50ms" {
		t.Errorf("got %v", err)
	}
}

func TestProcessorTimeIsThatOfOneExchange(t *testing.T) {
	p := start(t, worker.Limits{CPU: 200 * time.Millisecond})
	for range 5 {
		if _, err := exchange(t, p, "hello"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACrashIsAnError(t *testing.T) {
	p := start(t, limits)
	if _, err := exchange(t, p, "refuse"); !errors.Is(err, worker.ErrCrashed) {
		t.Errorf("got %v", err)
	}
	if _, err := exchange(t, p, "hello"); !errors.Is(err, worker.ErrCrashed) {
		t.Errorf("after it: got %v", err)
	}
	if _, err := exchange(t, start(t, limits), "exit"); !errors.Is(err, worker.ErrCrashed) || errors.Is(err, worker.ErrPanicked) {
		t.Errorf("an exit with the runtime's code: got %v", err)
	}
}

// The runtime exits with the same code after a panic and without memory. The text of a panic may be a secret.
func TestAPanicIsNotALimit(t *testing.T) {
	for _, task := range []string{"panic", "mutex"} {
		_, err := exchange(t, start(t, limits), task)
		if _, limited := errors.AsType[*worker.LimitError](err); limited || !errors.Is(err, worker.ErrPanicked) || !errors.Is(err, worker.ErrCrashed) {
			t.Errorf("%s: got %v", task, err)
		}
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: it quotes the input: %v", task, err)
		}
	}
}

// When memory is short, the kernel kills the largest process of a pod.
func TestAProcessThatTheSystemKilledSaysSo(t *testing.T) {
	p := start(t, limits)
	err := p.Exchange(t.Context(), func(c *worker.Conn) error {
		if process, err := os.FindProcess(p.PID()); err != nil || process.Kill() != nil {
			t.Errorf("it cannot be killed: %v", err)
		}
		return ask(c, "hang", nil)
	})
	if !errors.Is(err, worker.ErrCrashed) || !strings.Contains(err.Error(), "raise the memory limit of the pod") {
		t.Errorf("got %v", err)
	}
}

func TestAnExchangeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := start(t, limits)
	err := p.Exchange(ctx, func(c *worker.Conn) error {
		cancel()
		return ask(c, "hang", nil)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	if _, err := exchange(t, start(t, limits), "much"); !errors.Is(err, worker.ErrCrashed) {
		t.Errorf("an answer: got %v", err)
	}
	if _, err := exchange(t, start(t, limits), strings.Repeat("x", 1<<20)); !errors.Is(err, worker.ErrTooLarge) {
		t.Errorf("a request: got %v", err)
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	if _, err := worker.Start(worker.Config{Command: []string{"/nowhere"}}); err == nil {
		t.Error("no error")
	}
}

// A killed parent's child ends too, even if it is busy.
func TestAChildEndsWithItsParent(t *testing.T) {
	parent := exec.Command(os.Args[0], "parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// This ends although the child may still run, because the child does not inherit the output of its parent.
	_, _ = io.Copy(io.Discard, out)
	_ = parent.Wait()
	for began := time.Now(); running(pid); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("it still runs")
		}
	}
}

// running reports whether a process runs; a zombie does not.
func running(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}
