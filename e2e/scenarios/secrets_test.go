package scenarios

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

const example = "../../examples/posts"

// prints is a container that crashes and prints all of its variables, as an application's log might.
const prints = `labels: {kwok.berth.dev/behaviour: crash-loop}, annotations: {kwok.berth.dev/log: "cannot log in with {{.PASSWORD}}\n{{json .PASSWORD}} {{printf \"%q\" .PASSWORD}} {{urlquery .PASSWORD}}\nAuthorization: Basic {{base64 (print \"ada:\" .PASSWORD)}}\n{{.CERTIFICATE}}{{base64 .CERTIFICATE}}\n{{json .CERTIFICATE}}\nthat is all"}`

// Two repositories have a busy time: corrections, failures, rejections by every component that may reject, and users
// who look at everything. Then all output is searched for secrets.
func TestSecretsAreNowhereButInTheirObjects(t *testing.T) {
	t.Parallel()
	began := time.Now()
	refuseSecrets(t)
	posts := sealed(t, "sealed")
	secret, more := file(t, example+"/infra/review/secret.yaml"), file(t, "testdata/planted.yaml")
	files := with(application(), "k8s/secret.yaml", secret, "k8s/planted.yaml", more)
	commit := posts.pushes("main", files)
	production := posts.Environment("main")
	production.Becomes("Healthy", commit)

	production.Patch("Secret/posts", `{"data":{"DB_PASSWORD":"b3RoZXI="}}`)
	production.AwaitObject("Secret/posts", "is put back", func(o world.Object) bool {
		return decoded(o.Field("data.DB_PASSWORD")) == planted[0]
	})
	crashing := knowing(deployment("api", prints)) + service("api")
	failed := production.Becomes("Failed", posts.pushes("main", map[string]string{"k8s/api.yaml": crashing}), "Deployment/api")
	for _, u := range failed.Status.Unhealthy {
		if u.Log != "" {
			t.Errorf("whoever may read the status of production reads its logs: %s", u.Log)
		}
	}
	login := posts.Environment("login")
	login.Becomes("Failed", posts.branches("login", code("that crashes")), "Deployment/api")
	awaitLog(t, login, "cannot log in with •••\n", "that is all")

	posts.Environment("refused").Becomes("Failed", posts.branches("refused", code("that is refused")), "Secret/sealed-refused/planted", "denied request")
	tampered := posts.pushes("main", map[string]string{"k8s/secret.yaml": strings.Replace(secret, "APP_KEY: ENC", "OTHER_KEY: ENC", 1)})
	production.Becomes("Failed", tampered, "k8s/secret.yaml", "it was changed after its encryption")
	stolen := posts.pushes("main", map[string]string{"k8s/secret.yaml": file(t, example+"/infra/production/secret.yaml")})
	production.Becomes("Failed", stolen, "k8s/secret.yaml", "no available key decrypts it", "sops updatekeys")
	looksThroughProcesses(t)
	if got := decoded(production.Object("Secret/posts").Field("data.DB_PASSWORD")); got != planted[0] {
		t.Errorf("after refusals the Secret has %q", got)
	}
	credentialsAreRefused(t, more)
	people(t, files, login)

	if n := looksThroughFiles(t, scratch); n < 2 {
		t.Errorf("the agent wrote %d files", n)
	}
	looksThroughRequests(t, began)
	looksThroughPage(t, metrics+"/metrics", "berth_")
	for page, with := range map[string]string{"": "goroutine", "goroutine?debug=2": "goroutine", "heap?debug=1": "heap profile", "cmdline": "agent"} {
		looksThroughPage(t, profiles+"/debug/pprof/"+page, with)
	}
	looksThroughCluster(t, map[string]bool{
		"sealed/posts": true, "sealed/planted": true, login.Namespace() + "/posts": true, login.Namespace() + "/planted": true,
		"berth/sealed-keys": true, "berth/vaulted-keys": true, "berth/vaulted-git": true, "berth/vaulted-hook": true,
	})
}

// sealed starts a team whose entries decrypt with the example's key, and with the keys that Vault allows.
func sealed(t *testing.T, name string, settings ...func(*v1alpha1.Repository)) *team {
	t.Helper()
	key := file(t, example+"/berth/demo-keys/review.agekey")
	shared.SetSecret(reporter{t}, name+"-keys", map[string]string{"age.agekey": key, "sops.vault-token": plantedVault})
	return begins(t, name, append(settings, func(r *v1alpha1.Repository) {
		for i := range r.Spec.Environments {
			r.Spec.Environments[i].Decryption = &v1alpha1.Decryption{SecretRef: &v1alpha1.SecretReference{Name: name + "-keys"}}
		}
	})...)
}

// refuseSecrets makes the API server reject the Secrets of the branch "refused", and quote them.
func refuseSecrets(t *testing.T) {
	t.Helper()
	installs(t, file(t, "testdata/refusal.yaml"))
	client, err := kubernetes.NewForConfig(shared.Cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "refused"}, StringData: map[string]string{"PASSWORD": "hello"}}
	world.Await(t, "the policy is known", func() (string, bool) {
		_, err := client.CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return fmt.Sprint(err), err != nil && strings.Contains(err.Error(), "refused: aGVsbG8=")
	})
}

// knowing gives the container of a workload all values of the planted Secret.
func knowing(workload string) string {
	return strings.Replace(workload, "        image:", "        envFrom: [{secretRef: {name: planted}}]\n        image:", 1)
}

// awaitLog waits until the status of a failed environment has a log with all of the texts.
func awaitLog(t *testing.T, e *world.Environment, texts ...string) {
	t.Helper()
	world.Await(t, "the status has the log", func() (string, bool) {
		environment, _ := e.Get()
		for _, u := range environment.Status.Unhealthy {
			found := u.Log != ""
			for _, text := range texts {
				found = found && strings.Contains(u.Log, text)
			}
			if found {
				return u.Log, true
			}
		}
		return fmt.Sprintf("%+v", environment.Status.Unhealthy), false
	})
}

// credentialsAreRefused covers a team whose credentials every server rejects and quotes.
func credentialsAreRefused(t *testing.T, encrypted string) {
	t.Helper()
	listener, err := net.Listen("tcp", vault)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, fmt.Sprintf(`{"errors":["bad token %s"]}`, r.Header.Get("X-Vault-Token")), http.StatusForbidden)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })

	git := map[string]string{"username": "ada", "password": plantedGit}
	shared.SetSecret(reporter{t}, "vaulted-git", git)
	shared.SetSecret(reporter{t}, "vaulted-hook", map[string]string{"token": plantedHook})
	closed := sealed(t, "vaulted", func(r *v1alpha1.Repository) {
		r.Spec.SecretRef = &v1alpha1.SecretReference{Name: "vaulted-git"}
		r.Spec.Webhook = &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: "vaulted-hook"}}
	})
	closed.server.RequireBasic("ada", "another")
	closed.Becomes("Unauthorized")
	for token, want := range map[string]int{plantedHook: http.StatusOK, plantedHook + "!": http.StatusUnauthorized} {
		if got := delivers(t, "vaulted", token); got/100 != want/100 {
			t.Errorf("a webhook is answered %d, want %d", got, want)
		}
	}
	closed.server.RequireBasic("ada", plantedGit)
	head, _, _ := strings.Cut(encrypted, "    age:\n")
	_, tail, _ := strings.Cut(encrypted, "    encrypted_regex:")
	inVault := head + "    hc_vault:\n        - {vault_address: 'http://" + vault + "', engine_path: sops, key_name: posts, created_at: '2026-02-03T04:05:06Z', enc: 'vault:v1:x'}\n    encrypted_regex:" + tail
	commit := closed.pushes("main", with(application(), "k8s/secret.yaml", inVault))
	closed.Environment("main").Becomes("Waiting", commit, "k8s/secret.yaml", vault+" says 403")
}

// delivers sends a webhook with a token, and returns the status of the answer.
func delivers(t *testing.T, repository, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+hooks+"/hooks/"+repository, strings.NewReader(`{"object_kind":"push"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Gitlab-Token", token)
	request.Header.Set("X-Gitlab-Event", "Push Hook")
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

// people runs the commands of users with all rights and all keys.
func people(t *testing.T, files map[string]string, e *world.Environment) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	manifests, keys := filepath.Join(dir, "k8s"), example+"/berth/demo-keys/review.agekey"
	environment, _ := e.Get()
	for _, test := range []struct {
		arguments []string
		says      string
	}{
		{[]string{"describe", environment.Name}, "cannot log in with ***"},
		{[]string{"describe", environment.Name, "-o", "json"}, "cannot log in with ***"},
		{[]string{"describe", "sealed.production.main"}, "cannot log in with ***"},
		{[]string{"get", "-o", "json"}, "sealed.production.main"},
		{[]string{"render", "--root", dir, "--path", manifests, "--branch", "main", "--keys", keys, "--variable", "HOST=h", "--variable", "REPLICAS=1"}, "PASSWORD: '***'"},
		{[]string{"diff", environment.Name, "--path", manifests, "--keys", keys}, "Deployment/api"},
		{[]string{"diff", "sealed.production.main", "--path", manifests, "--keys", keys, "-o", "json"}, "Deployment"},
	} {
		command := exec.CommandContext(t.Context(), binary, test.arguments...)
		command.Env = append(os.Environ(), "KUBECONFIG="+shared.Cluster.Kubeconfig())
		said, _ := command.CombinedOutput() // the exit code depends on what it found
		if !strings.Contains(string(said), test.says) {
			t.Errorf("%q says nothing of %q: %s", command.Args, test.says, said)
		}
		discloses(t, strings.Join(test.arguments, " "), string(said))
	}
}

func file(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
