package hostile

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/internal/sopstest"
)

// Five Git servers with a million references each once took more memory than the Deployment allows. The kernel would
// have killed the agent again and again, and stopped production's updates. Here everything that costs memory happens at
// once, and the kernel enforces the limit.
func TestTheAgentStaysWithinItsMemory(t *testing.T) {
	if unlimited != nil {
		t.Skip(unlimited)
	}
	team := begins(t, "memory")
	team.healthy = team.git.Commit("main", map[string]string{"k8s/kustomization.yaml": "resources: [app.yaml]\n"}, "use Kustomize")
	team.production.Becomes("Healthy", team.healthy)
	quiet := team.deploys("quiet")
	large := t.TempDir()
	commit := differences(gittest.Serve(t, gittest.Config{Dir: large}))
	before, agent, most := kills(t), shared.Agent.PID(), watchMemory(t)

	var ends []func()
	for i := range 5 {
		ends = append(ends, lists(t, fmt.Sprintf("endless%d", i)), sends(t, fmt.Sprintf("packs%d", i), large, commit))
	}
	ends = append(ends, builds(t, "fat"), builds(t, "fatter"))
	for i := range 4 { // as many as may decrypt at once
		ends = append(ends, decrypts(t, fmt.Sprintf("sealed%d", i)))
	}
	for i := range 3 {
		t.Logf("production was deployed within %s, and %s in quiet", team.deploys(fmt.Sprint("attack ", i)), quiet)
	}
	for _, end := range ends {
		end()
	}
	team.deploys("at last")
	t.Logf("the agent and its children held %d MiB at most that they could not give up, and the limit is %d", most()>>20, memoryLimit>>20)
	if after := kills(t); after > before || !shared.Agent.Running() || shared.Agent.PID() != agent {
		t.Errorf("the kernel killed %d processes; the agent runs: %t", after-before, shared.Agent.Running())
	}
}

// lists makes a Repository follow a server with an endless list of references. It returns a function that waits for the
// refusal.
func lists(t *testing.T, name string) func() {
	t.Helper()
	server := gittest.NewServer(t)
	git := server.Repository(name)
	git.Commit("main", application(), "begin")
	server.Misbehave(gittest.Only(gittest.ListRefs, gittest.EndlessListing))
	repository := shared.Follow(lasting{t}, repositoryOf(name, git.URL()))
	t.Cleanup(repository.Remove)
	return func() { repository.Becomes(v1alpha1.ReasonTooLarge, "the repository has more than 100000 branches") }
}

// differences creates a commit with large files that differ little. Git sends one as a delta of the other, which takes
// several times its size to unpack.
func differences(server *gittest.Server) (commit string) {
	defer server.Close()
	noise := make([]byte, 31<<20)
	_, _ = rand.New(rand.NewSource(1)).Read(noise) // it cannot fail
	return server.Repository("large").Commit("main", map[string]string{
		"k8s/settings.yaml": configMap("settings"), "assets/a": string(noise), "assets/b": string(noise) + "b",
	}, "begin")
}

// sends makes a Repository follow a server with such a commit. The commit is within the limits, so its environment
// waits for memory and then becomes healthy.
func sends(t *testing.T, name, dir, commit string) func() {
	t.Helper()
	server := gittest.Serve(t, gittest.Config{Dir: dir})
	t.Cleanup(server.Close)
	repository := shared.Follow(lasting{t}, repositoryOf(name, server.Repository("large").URL()))
	t.Cleanup(repository.Remove)
	return func() { repository.Environment("main").BecomesWithin(2*time.Minute, "Healthy", commit) }
}

// builds pushes a branch whose build nearly reaches the limits of memory and time.
func builds(t *testing.T, name string) func() {
	t.Helper()
	git := gittest.NewServer(t).Repository(name)
	git.Commit("main", map[string]string{"k8s/settings.yaml": configMap("settings")}, "begin")
	repository := shared.Follow(lasting{t}, repositoryOf(name, git.URL()))
	t.Cleanup(repository.Remove)
	files := merging(5_000)
	files["k8s/kustomization.yaml"] = "resources: [app.yaml, more.yaml]\npatches: [{path: patch.txt}]\n"
	files["k8s/more.yaml"] = each(6_000, "{apiVersion: v1, kind: ConfigMap, metadata: {name: more%}, data: {a: "+strings.Repeat("x", 900)+"}}\n---\n")
	commit := git.CommitFrom("main", "attack", files, "attack")
	return func() {
		repository.Environment("attack").BecomesWithin(2*time.Minute, "Failed", commit, "Kustomize cannot build it: it takes more ", "than the limit of ")
	}
}

// decrypts makes a Repository with keys of its own follow branches with encrypted files as large as possible. They are no
// manifests, so their environments fail after the decryption.
func decrypts(t *testing.T, name string) func() {
	t.Helper()
	key, metadata := sopstest.AgeKey(t)
	shared.SetSecret(lasting{t}, name+"-keys", map[string]string{"age.agekey": key})
	git := gittest.NewServer(t).Repository(name)
	git.Commit("main", map[string]string{"k8s/settings.yaml": configMap("settings")}, "begin")
	attack := repositoryOf(name, git.URL())
	for i := range attack.Spec.Environments {
		attack.Spec.Environments[i].Decryption = &v1alpha1.Decryption{SecretRef: &v1alpha1.SecretReference{Name: name + "-keys"}}
	}
	repository := shared.Follow(lasting{t}, attack)
	t.Cleanup(repository.Remove)
	commits := map[string]string{}
	for i := range 2 {
		branch := fmt.Sprintf("attack%d", i)
		file := sopstest.Forge(t, metadata, strings.Repeat(fmt.Sprint(i), 7<<19)) // 5 MB in base64
		commits[branch] = git.CommitFrom("main", branch, map[string]string{"k8s/secret.yaml": string(file)}, "attack")
	}
	return func() {
		for branch, commit := range commits {
			repository.Environment(branch).BecomesWithin(5*time.Minute, "Failed", commit, "k8s/secret.yaml:1: a holds")
		}
	}
}

// kills returns the number of the agent's processes that the kernel has killed.
func kills(t *testing.T) int64 {
	t.Helper()
	n, err := shared.Cgroup.Kills()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// watchMemory starts to watch the memory that the agent and its children cannot give up. It returns a function that
// stops the watch and returns the maximum.
func watchMemory(t *testing.T) (most func() int64) {
	stop, found := make(chan struct{}), make(chan int64, 1)
	go func() {
		ticker, highest := time.NewTicker(20*time.Millisecond), int64(0)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if now, err := shared.Cgroup.Anonymous(); err == nil {
					highest = max(highest, now)
				}
			case <-stop:
				found <- highest
				return
			case <-t.Context().Done():
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-found
	}
}
