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
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
)

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	yamlBlock  = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	heading    = regexp.MustCompile("(?m)^##+ ")
)

// reader is a person who follows docs/clusters.md, with the contexts prod and staging, and repository.yaml in the folder.
type reader struct {
	t          *testing.T
	dir        string
	kubeconfig string
	worlds     map[string]*world.World // by context; a cluster without Berth has none
	// name is the name of the Repository.
	name string
	// placed are words in the row of the preview that has moved.
	placed []string
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
	r := &reader{t: t, dir: t.TempDir(), name: "docs", worlds: map[string]*world.World{"prod": east, "staging": west}}
	r.kubeconfig = r.contexts(map[string]*clustertest.Cluster{"prod": east.Cluster, "staging": west.Cluster})
	before, after := r.repositories(yamlBlock.FindSubmatch(page)[1], git.URL())
	r.edited = after
	r.checkout(before, manifests)
	east.SetSecret(t, "posts-git", map[string]string{"username": "berth", "password": "TOKEN"})
	r.do("kubectl --context prod apply -f repository.yaml")
	r.leave()
	r.awaits("prod", "docs.production.main", "docs.review.login")

	if commands := r.follow(page, sections[0]); commands < 11 {
		t.Errorf("the page has %d commands only", commands)
	}
	r.awaits("prod", "docs.production.main")
	r.awaits("staging", "docs.review.login", "docs.staging.main")
	r.follow(page, sections[1]) // on the Deployment; the agent is another process
}

// sections are those of the page that have commands.
var sections = []string{
	"## From one cluster to two", "## When an entry's agent changes",
	"### From one cluster to two with one agent", "### The token", "### Removing a cluster",
}

// No command of the page is left out.
func TestTheSectionsWithCommands(t *testing.T) {
	page, err := os.ReadFile("../../docs/clusters.md")
	succeed(t, err)
	var found []string
	section := ""
	for line := range strings.Lines(string(page)) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "## "), strings.HasPrefix(line, "### "):
			section = line
		case line == "```sh" && !slices.Contains(found, section):
			found = append(found, section)
		}
	}
	if !slices.Equal(found, sections) {
		t.Errorf("commands are in %q, want %q", found, sections)
	}
}

// The same person with one agent, which reaches a second cluster without Berth.
func TestTheCommandsOfTheDocumentationWithOneAgent(t *testing.T) {
	page, err := os.ReadFile("../../docs/clusters.md")
	succeed(t, err)
	staging := clustertest.Start(t, clustertest.Config{})
	succeed(t, east.Agent.Stop())
	prod := east.Agent.Twin("single", "--leader-elect") // berth check wants a leader
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(prod.Log("single"))
		}
		_ = prod.Stop()
		_ = east.Agent.Start()
	})
	succeed(t, prod.Start())
	git := gittest.NewServer(t).Repository("single")
	manifests := map[string]string{}
	for _, folder := range []string{"production", "staging", "review"} {
		manifests["infra/"+folder+"/app.yaml"] = files["k8s/app.yaml"]
	}
	git.Commit("main", manifests, "begin")
	git.CommitFrom("main", "login", map[string]string{"README.md": "login\n"}, "begin login")
	r := &reader{t: t, dir: t.TempDir(), name: "single", placed: []string{" staging "}, worlds: map[string]*world.World{"prod": east}}
	r.kubeconfig = r.contexts(map[string]*clustertest.Cluster{"prod": east.Cluster, "staging": staging})
	_, second, _ := bytes.Cut(page, []byte("\n## One agent for several clusters\n"))
	before, after := r.repositories(yamlBlock.FindSubmatch(second)[1], git.URL())
	r.edited = after
	r.checkout(before, manifests)
	east.SetSecret(t, "posts-git", map[string]string{"username": "berth", "password": "TOKEN"})
	r.do("kubectl --context prod apply -f repository.yaml")
	r.leave()
	r.awaits("prod", "single.production.main", "single.review.login")
	if commands := r.follow(page, sections[2]); commands < 7 {
		t.Errorf("the page has %d commands only", commands)
	}
	r.awaits("prod", "single.production.main", "single.review.login", "single.staging.main")
	if there := r.berth("get", "--context", "prod", "--cluster", "staging", "-o", "name"); strings.Count(there, "single.") != 2 {
		t.Errorf("in staging there are\n%s", there)
	}
	r.berth("diff", "single.review.login", "--context", "prod", "--path", "infra/review") // there is nothing to do
	if out := r.berth("check", "--context", "prod"); !strings.Contains(out, "the environments' accounts may write what the environments run: 2 checked") {
		t.Errorf("berth check does not check the accounts in staging:\n%s", out)
	}
	r.follow(page, sections[3])
	r.awaits("prod", "single.production.main", "single.review.login", "single.staging.main")

	// Back, by removing cluster from the entries.
	succeed(t, os.WriteFile(filepath.Join(r.dir, "repository.yaml"), before, 0o600))
	r.do("kubectl --context prod apply -f repository.yaml")
	r.awaits("prod", "single.production.main", "single.review.login")
	r.follow(page, sections[4])
	if out := r.berth("cluster", "--context", "prod"); strings.Contains(out, "staging") {
		t.Errorf("berth cluster says\n%s", out)
	}
}

// follow runs the commands of a section of the page, and returns how many there were.
func (r *reader) follow(page []byte, section string) (commands int) {
	r.t.Helper()
	_, way, found := strings.Cut(string(page), "\n"+section+"\n")
	if !found {
		r.t.Fatalf("the page has no section %q", section)
	}
	if end := heading.FindStringIndex(way); end != nil {
		way = way[:end[0]]
	}
	for _, block := range shellBlock.FindAllStringSubmatch(way, -1) {
		for line := range strings.Lines(block[1]) {
			if line = strings.TrimSpace(line); line != "" {
				r.do(line)
				commands++
			}
		}
	}
	return commands
}

// leave deletes the Repository from all clusters after the test, so that berth check of another test does not find it.
func (r *reader) leave() {
	resource := v1alpha1.GroupVersion.WithResource("repositories")
	r.t.Cleanup(func() {
		for _, w := range r.worlds {
			client := dynamic.NewForConfigOrDie(w.Cluster.RESTConfig())
			succeed(r.t, client.Resource(resource).Namespace(deploy.Namespace).Delete(context.Background(), r.name, metav1.DeleteOptions{}))
		}
	})
}

// checkout makes the folder that the person works in.
func (r *reader) checkout(repository []byte, manifests map[string]string) {
	r.t.Helper()
	succeed(r.t, os.WriteFile(filepath.Join(r.dir, "repository.yaml"), repository, 0o600))
	succeed(r.t, exec.CommandContext(r.t.Context(), "git", "init", "-q", r.dir).Run())
	for name, content := range manifests {
		succeed(r.t, os.MkdirAll(filepath.Join(r.dir, filepath.Dir(name)), 0o700))
		succeed(r.t, os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600))
	}
}

// contexts writes a kubeconfig with a context for each cluster.
func (r *reader) contexts(clusters map[string]*clustertest.Cluster) string {
	r.t.Helper()
	all := api.NewConfig()
	all.CurrentContext = "prod"
	for name, cluster := range clusters {
		one, err := clientcmd.LoadFromFile(cluster.Kubeconfig())
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
func (r *reader) repositories(block []byte, url string) (before, after []byte) {
	r.t.Helper()
	var repo map[string]any
	succeed(r.t, yaml.Unmarshal(block, &repo))
	repo["apiVersion"], repo["kind"], repo["metadata"] = "berth.dev/v1alpha1", "Repository", map[string]any{"name": r.name, "namespace": "berth"}
	spec := repo["spec"].(map[string]any)
	spec["url"], spec["poll"], spec["goneAfter"] = url, "@every 1s", "1s"
	for _, entry := range spec["environments"].([]any) { // each test has its own namespaces
		entry := entry.(map[string]any)
		entry["namespace"] = strings.Replace(entry["namespace"].(string), "posts", r.name, 1)
	}
	after, err := yaml.Marshal(repo)
	succeed(r.t, err)
	var earlier []any
	for _, entry := range spec["environments"].([]any) {
		entry := entry.(map[string]any)
		delete(entry, "agent")
		delete(entry, "cluster")
		if entry["name"] != "staging" {
			earlier = append(earlier, entry)
		}
	}
	spec["environments"] = earlier
	before, err = yaml.Marshal(repo)
	succeed(r.t, err)
	return before, after
}

// do runs a command of the page. Tests have no kubectl, so it does what kubectl would do.
func (r *reader) do(line string) {
	r.t.Helper()
	r.t.Log(line)
	words := strings.Fields(strings.ReplaceAll(line, "--repository posts", "--repository "+r.name))
	for i, word := range words {
		words[i] = strings.Trim(word, `"`)
	}
	switch {
	case strings.HasPrefix(line, "kubectl --context ") && strings.Contains(line, " apply "):
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
	case strings.HasPrefix(line, "berth ") && words[len(words)-2] == ">":
		succeed(r.t, os.WriteFile(filepath.Join(r.dir, words[len(words)-1]), []byte(r.berth(words[1:len(words)-2]...)), 0o600))
	case strings.HasPrefix(line, "berth ") && words[len(words)-1] == "-w":
		r.watch(words[1:], append(r.placed, r.name+".review.login", "Healthy")...)
	case strings.HasPrefix(line, "berth "):
		if strings.HasPrefix(line, "berth check --repository") { // the step before is to edit the file
			succeed(r.t, os.WriteFile(filepath.Join(r.dir, "repository.yaml"), r.edited, 0o600))
		}
		r.berth(words[1:]...)
	default:
		r.t.Fatalf("the test cannot run %q", line)
	}
}

// apply applies the objects of a file to the cluster of a context.
func (r *reader) apply(context, file string) {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, file))
	succeed(r.t, err)
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: r.kubeconfig}, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	succeed(r.t, err)
	for _, document := range strings.Split(string(text), "\n---\n") {
		object := &unstructured.Unstructured{}
		succeed(r.t, yaml.Unmarshal([]byte(document), &object.Object))
		succeed(r.t, clustertest.Apply(r.t.Context(), config, object))
	}
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

// watch runs berth until it prints a line with some words, for two minutes at most.
func (r *reader) watch(words []string, want ...string) {
	r.t.Helper()
	ctx, stop := context.WithTimeout(r.t.Context(), 2*time.Minute)
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
		out := r.berth("get", "--context", context, "--repository", r.name, "--no-headers")
		var healthy []string
		for line := range strings.Lines(out) {
			if fields := strings.Fields(line); slices.Contains(fields, "Healthy") {
				healthy = append(healthy, fields[0])
			}
		}
		return out, slices.Equal(healthy, want) && strings.Count(out, "\n") == len(want)
	})
}
