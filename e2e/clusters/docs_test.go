package clusters

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
)

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	yamlBlock  = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

// reader is a person who follows docs/clusters.md, with the contexts prod and staging, and repository.yaml in the folder.
type reader struct {
	t          *testing.T
	dir        string
	kubeconfig string
	worlds     map[string]*world.World // by context
	// edited is repository.yaml as the page ends with it.
	edited []byte
}

// The person comes from one cluster to two by the commands of the page, and by nothing else.
func TestTheCommandsOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/clusters.md")
	succeed(t, err)
	succeed(t, east.Agent.Stop())
	succeed(t, west.Agent.Stop())
	prod, staging := east.Agent.Twin("prod", "--leader-elect"), west.Agent.Twin("staging", "--leader-elect", "--agent-name", "staging")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("prod:\n%s\nstaging:\n%s", prod.Log("docs"), staging.Log("docs"))
		}
		_, _ = prod.Stop(), staging.Stop()
		_, _ = east.Agent.Start(), west.Agent.Start()
	})
	succeed(t, prod.Start())
	succeed(t, staging.Start())

	git := gittest.NewServer(t).Repository("docs")
	manifests := map[string]string{}
	for _, folder := range []string{"production", "staging", "review"} {
		manifests["infra/"+folder+"/app.yaml"] = files["k8s/app.yaml"]
	}
	git.Commit("main", manifests, "begin")
	git.CommitFrom("main", "login", map[string]string{"README.md": "login\n"}, "begin login")
	r := &reader{t: t, dir: t.TempDir(), worlds: map[string]*world.World{"prod": east, "staging": west}}
	r.kubeconfig = r.contexts()
	before, after := repositories(t, page, git.URL())
	r.edited = after
	succeed(t, os.WriteFile(filepath.Join(r.dir, "repository.yaml"), before, 0o600))
	succeed(t, exec.CommandContext(t.Context(), "git", "init", "-q", r.dir).Run())
	for name, content := range manifests {
		succeed(t, os.MkdirAll(filepath.Join(r.dir, filepath.Dir(name)), 0o700))
		succeed(t, os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600))
	}
	east.SetSecret(t, "posts-git", map[string]string{"username": "berth", "password": "TOKEN"})
	r.do("kubectl --context prod apply -f repository.yaml")
	r.awaits("prod", "docs.production.main", "docs.review.login")

	_, way, _ := strings.Cut(string(page), "\n## From one cluster to two\n")
	way, _, _ = strings.Cut(way, "\n## ")
	commands := 0
	for _, block := range shellBlock.FindAllStringSubmatch(way, -1) {
		for line := range strings.Lines(block[1]) {
			if line = strings.TrimSpace(line); line != "" {
				r.do(line)
				commands++
			}
		}
	}
	if commands < 10 {
		t.Errorf("the page has %d commands only", commands)
	}
	r.awaits("prod", "docs.production.main")
	r.awaits("staging", "docs.review.login", "docs.staging.main")
}

// contexts writes a kubeconfig with a context for each cluster.
func (r *reader) contexts() string {
	r.t.Helper()
	all := api.NewConfig()
	for name, w := range r.worlds {
		one, err := clientcmd.LoadFromFile(w.Cluster.Kubeconfig())
		succeed(r.t, err)
		now := one.Contexts[one.CurrentContext]
		all.Clusters[name], all.AuthInfos[name] = one.Clusters[now.Cluster], one.AuthInfos[now.AuthInfo]
		all.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	}
	file := filepath.Join(r.dir, "kubeconfig")
	succeed(r.t, clientcmd.WriteToFile(*all, file))
	return file
}

// repositories returns the Repository of the page as it is before and after the page.
func repositories(t *testing.T, page []byte, url string) (before, after []byte) {
	t.Helper()
	var repo map[string]any
	succeed(t, yaml.Unmarshal(yamlBlock.FindSubmatch(page)[1], &repo))
	repo["apiVersion"], repo["kind"], repo["metadata"] = "berth.dev/v1alpha1", "Repository", map[string]any{"name": "docs", "namespace": "berth"}
	spec := repo["spec"].(map[string]any)
	spec["url"], spec["poll"], spec["goneAfter"] = url, "@every 1s", "1s"
	after, err := yaml.Marshal(repo)
	succeed(t, err)
	var earlier []any
	for _, entry := range spec["environments"].([]any) {
		entry := entry.(map[string]any)
		delete(entry, "agent")
		if entry["name"] != "staging" {
			earlier = append(earlier, entry)
		}
	}
	spec["environments"] = earlier
	before, err = yaml.Marshal(repo)
	succeed(t, err)
	return before, after
}

// do runs a command of the page. Tests have no kubectl, so it does what kubectl would do.
func (r *reader) do(line string) {
	r.t.Helper()
	r.t.Log(line)
	words := strings.Fields(line)
	switch {
	case strings.HasPrefix(line, "kubectl --context ") && strings.Contains(line, " apply -f "):
		r.apply(words[2], words[len(words)-1])
	case strings.HasPrefix(line, "kubectl --context ") && strings.Contains(line, " create secret generic "):
		values := map[string]string{}
		for _, word := range words {
			if literal, ok := strings.CutPrefix(word, "--from-literal="); ok {
				key, value, _ := strings.Cut(literal, "=")
				values[key] = value
			}
		}
		r.worlds[words[2]].SetSecret(r.t, words[slices.Index(words, "generic")+1], values)
	case strings.HasPrefix(line, "berth ") && words[len(words)-1] == "-w":
		r.watch(words[1:], "docs.review.login", "Healthy")
	case strings.HasPrefix(line, "berth "):
		if strings.HasPrefix(line, "berth check --repository") { // the step before is to edit the file
			succeed(r.t, os.WriteFile(filepath.Join(r.dir, "repository.yaml"), r.edited, 0o600))
		}
		r.berth(words[1:]...)
	default:
		r.t.Fatalf("the test cannot run %q", line)
	}
}

func (r *reader) apply(context, file string) {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, file))
	succeed(r.t, err)
	object := &unstructured.Unstructured{}
	succeed(r.t, yaml.Unmarshal(text, &object.Object))
	succeed(r.t, clustertest.Apply(r.t.Context(), r.worlds[context].Cluster.RESTConfig(), object))
}

func (r *reader) command(ctx context.Context, words ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, binary, words...)
	command.Dir, command.Env = r.dir, append(os.Environ(), "KUBECONFIG="+r.kubeconfig)
	return command
}

// berth runs berth, which must succeed.
func (r *reader) berth(words ...string) string {
	r.t.Helper()
	out, err := r.command(r.t.Context(), words...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("berth %s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

// watch runs berth until it prints a line with some words.
func (r *reader) watch(words []string, want ...string) {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	defer stop()
	command := r.command(ctx, words...)
	out, err := command.StdoutPipe()
	succeed(r.t, err)
	succeed(r.t, command.Start())
	var seen bytes.Buffer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		seen.WriteString(lines.Text() + "\n")
		if !slices.ContainsFunc(want, func(word string) bool { return !strings.Contains(lines.Text(), word) }) {
			stop()
			_ = command.Wait() // it was interrupted
			return
		}
	}
	r.t.Fatalf("berth %s ended with: %v\n%s", strings.Join(words, " "), command.Wait(), &seen)
}

// awaits waits until exactly these environments are there, and healthy.
func (r *reader) awaits(context string, want ...string) {
	r.t.Helper()
	world.Await(r.t, strings.Join(want, " and ")+" run in "+context, func() (string, bool) {
		out := r.berth("get", "--context", context, "--repository", "docs", "--no-headers")
		var healthy []string
		for line := range strings.Lines(out) {
			if fields := strings.Fields(line); len(fields) > 3 && fields[3] == "Healthy" {
				healthy = append(healthy, fields[0])
			}
		}
		return out, slices.Equal(healthy, want) && strings.Count(out, "\n") == len(want)
	})
}
