package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
)

// example is the application that the demo deploys. It becomes a repository of its own.
const example = "examples/posts"

// A stage holds everything that the demo runs. All of it lies in one directory and outlives this process. A later
// process finds it by the process ids in that directory.
type stage struct {
	dir, bin string
	own      *ownCluster // nil: a local cluster that the demo starts and stops
	world    *world.World
	url      string // of the repository
	forge    string // of the forge
}

// production is the namespace of the example's main branch.
const production = "posts"

// ownPatience is the limit of each wait on the user's own cluster, whose nodes pull images.
const ownPatience = 5 * time.Minute

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// set starts everything.
func (s *stage) set(ctx context.Context, t *teller) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	cluster, err := s.cluster(ctx, t)
	if err != nil {
		return err
	}
	if err := s.serveGit(); err != nil {
		return err
	}
	if s.forge, err = s.serve("forge", exec.Command(filepath.Join(s.bin, "demo"), "forge")); err != nil {
		return err
	}
	t.line("Git", s.url)
	t.line("forge", s.forge+" answers as GitLab's API does, and shows merge requests as text")
	s.world, err = world.New(ctx, world.Config{Cluster: cluster, Dir: s.dir, Binary: filepath.Join(s.bin, "berth"), Detached: true, Flags: []string{"--leader-elect"}})
	if err != nil {
		return err
	}
	if err := s.world.Agent.Start(); err != nil {
		return err
	}
	t.line("Berth", "is installed from deploy/, and runs with the rights of its ServiceAccount")
	return s.note("agent", s.world.Agent.PID())
}

// cluster returns the user's cluster, or starts a local one.
func (s *stage) cluster(ctx context.Context, t *teller) (*clustertest.Cluster, error) {
	if s.own == nil {
		return clustertest.Up(ctx, clustertest.Config{Dir: s.path("cluster"), Audit: true}, indented{t})
	}
	t.line("cluster", s.own.String())
	return s.own.enter(s.path("own"))
}

// kubeconfig returns the path of the administrator's kubeconfig.
func (s *stage) kubeconfig() string {
	if s.own != nil {
		return s.path("own/kubeconfig")
	}
	return s.path("cluster/kubeconfig")
}

// serveGit starts the Git server and reads the address of its repository.
func (s *stage) serveGit() (err error) {
	s.url, err = s.serve("gitserver", exec.Command(filepath.Join(s.bin, "gitserver"), "--dir", s.path("git"), project))
	return err
}

// servePage starts berth ui in the clone, where it knows the files of the objects, and returns the address of the page.
func (s *stage) servePage() (string, error) {
	command := exec.Command(filepath.Join(s.bin, "berth"), "ui", "--no-open", "--kubeconfig", s.kubeconfig())
	command.Dir = s.path("posts")
	line, err := s.serve("page", command)
	return strings.TrimPrefix(line, "The page is at "), err
}

// serve starts a server that outlives this process, and returns the first line that it prints.
func (s *stage) serve(name string, command *exec.Cmd) (string, error) {
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	output, err := command.StdoutPipe()
	if err != nil {
		return "", err
	}
	if command.Stderr, err = os.Create(s.path(name + ".log")); err != nil {
		return "", err
	}
	if err := command.Start(); err != nil {
		return "", fmt.Errorf("cannot start the %s: %w", name, err)
	}
	if err := s.note(name, command.Process.Pid); err != nil {
		return "", err
	}
	lines := bufio.NewScanner(output)
	if !lines.Scan() {
		return "", errors.Join(fmt.Errorf("cannot start the %s; %s says why", name, short(s.path(name+".log"))), lines.Err())
	}
	return lines.Text(), nil
}

// repository returns the example's Repository object, with intervals of seconds instead of minutes.
func (s *stage) repository() (*v1alpha1.Repository, error) {
	text, err := os.ReadFile(filepath.Join(example, "berth", "repository.yaml"))
	if err != nil {
		return nil, fmt.Errorf("%w; run the demo in the root of the repository", err)
	}
	repository := &v1alpha1.Repository{}
	if err := yaml.UnmarshalStrict(text, repository); err != nil {
		return nil, fmt.Errorf("reading the example's Repository: %w", err)
	}
	repository.Spec.URL = s.url
	repository.Spec.Poll = "@every 1s"
	repository.Spec.GoneAfter = metav1.Duration{Duration: 2 * time.Second}
	repository.Spec.Feedback = &v1alpha1.Feedback{
		Provider: v1alpha1.ForgeGitLab, URL: s.forge, SecretRef: v1alpha1.SecretReference{Name: forgeSecret}, Statuses: v1alpha1.StatusesBlocking,
	}
	for i := range repository.Spec.Environments {
		repository.Spec.Environments[i].Health.ImagePullGrace = metav1.Duration{Duration: s.imagePullGrace()}
	}
	return repository, nil
}

// imagePullGrace is how long an image pull may fail: a real registry may fail once and then deliver.
func (s *stage) imagePullGrace() time.Duration {
	if s.own != nil {
		return 15 * time.Second
	}
	return 2 * time.Second
}

// get returns the output of "berth get" for a user.
func (s *stage) get(ctx context.Context) (string, error) {
	command := exec.CommandContext(ctx, filepath.Join(s.bin, "berth"), "get", "--kubeconfig", s.kubeconfig())
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot run berth get: %w: %s", err, output)
	}
	return string(output), nil
}

// invite starts the page, and prints how to look at what runs, and how to stop it.
func (s *stage) invite(t *teller) {
	if page, err := s.servePage(); err == nil {
		t.command("the page", page)
	} else {
		t.command("the page", "is not there: "+err.Error())
	}
	t.command("look", `export KUBECONFIG="$PWD/`+short(s.kubeconfig())+`"`)
	t.command("", short(filepath.Join(s.bin, "berth"))+" get -w")
	t.command("", "kubectl get env -n berth; kubectl get all -n posts")
	t.command("push", "(cd "+short(s.path("posts"))+" && git checkout -b feature/mine && git push origin feature/mine)")
	t.command("clone", "git clone "+s.url)
	t.command("the note", "curl "+s.mergeRequest(1))
	t.command("the log", "tail -f "+short(s.path("agent.log")))
	t.command("stop", "make demo-down")
}

// short returns a path as a user would type it here.
func short(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if relative, err := filepath.Rel(here, path); err == nil {
		return relative
	}
	return path
}

func (s *stage) note(name string, pid int) error {
	return os.WriteFile(s.path(name+".pid"), []byte(strconv.Itoa(pid)), 0o600)
}

// clear stops everything that runs, and removes all of its files.
func (s *stage) clear(ctx context.Context) error {
	for name, program := range map[string]string{"page": "berth", "agent": "berth", "gitserver": "gitserver", "forge": "demo"} {
		if err := s.end(ctx, name, program); err != nil {
			return err
		}
	}
	if err := s.clearOwn(ctx); err != nil {
		return err
	}
	if _, err := os.Stat(s.path("cluster")); err == nil {
		if err := clustertest.Down(ctx, s.path("cluster")); err != nil {
			return err
		}
	}
	return os.RemoveAll(s.dir)
}

// clearOwn removes what an earlier demo installed into the user's own cluster.
func (s *stage) clearOwn(ctx context.Context) error {
	kubeconfig := s.path("own/kubeconfig")
	if _, err := os.Stat(kubeconfig); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	own, err := openOwn(kubeconfig)
	if err != nil {
		return err
	}
	fmt.Printf("Removing the demo from the cluster: %s\n", own)
	if err := own.remove(ctx); err != nil {
		return fmt.Errorf("%w; if that cluster is gone for good: rm -r %s", err, short(s.dir))
	}
	return nil
}

// end ends a process that an earlier demo started, if it still runs.
func (s *stage) end(ctx context.Context, name, program string) error {
	text, err := os.ReadFile(s.path(name + ".pid"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("reading the process id of %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for runs(pid, filepath.Join(s.bin, program)) {
		// The process may have ended already; the next check notices that.
		_ = syscall.Kill(pid, syscall.SIGTERM)
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot stop %s, process %d: %w", name, pid, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// runs reports whether a process id still belongs to the started program: the system reuses ids.
func runs(pid int, program string) bool {
	output, err := exec.Command("ps", "-o", "stat=,args=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(string(output), "Z") && strings.Contains(string(output), program)
}

// indented prints the progress of another program, indented.
type indented struct{ t *teller }

func (i indented) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "/") {
			fmt.Fprintf(i.t.out, "   %s", line)
		}
	}
	return len(text), nil
}
