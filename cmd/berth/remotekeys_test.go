package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/gittest"
)

var (
	environmentsServed = schema.GroupVersionResource{Group: "berth.dev", Version: "v1alpha1", Resource: "environments"}
	secretsKind        = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// The Secret in a golden file of package secrets that is encrypted for a key of Vault, and its value.
const (
	forVault     = "../../secrets/testdata/golden/vault.yaml"
	goldenVault  = "https://vault.example.com"
	goldenSecret = "hunter2"
)

// The agent has its own rights in the cluster, and may use one key of one Vault.
func TestRemoteKeys(t *testing.T) {
	p, kubeconfig := newPort(t)
	v := newVault(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(agentsToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.agent(kubeconfig, "--allow-vault", v.key(), "--allow-vault", v.role(), "--vault-token-file", file)
	sealed := strings.ReplaceAll(string(read(t, forVault)), goldenVault, v.URL)
	p.setSecret("vault", map[string]string{"sops.vault-token": enteredVault})
	p.setSecret("review", map[string]string{"age.agekey": string(read(t, example+"berth/demo-keys/review.agekey"))})

	t.Run("with a token in the key Secret", func(t *testing.T) {
		p.keeps("token", sealed, map[string]any{"secretRef": map[string]any{"name": "vault"}})
		p.becomes("token", "Healthy")
		p.holds("token")
	})
	t.Run("fifty branches decrypt once", func(t *testing.T) { p.testFifty(t, v, sealed) })
	t.Run("as the agent itself", func(t *testing.T) {
		p.keeps("identity", sealed, map[string]any{"allow": []any{v.key(), v.role()}})
		p.becomes("identity", "Healthy")
		p.holds("identity")
		if logins, _ := v.counts(); logins != 1 {
			t.Errorf("%d logins", logins)
		}
	})
	// The author of such a branch has copied the file of another entry.
	t.Run("as the agent itself, where the entry does not say so", func(t *testing.T) {
		p.keeps("branch", sealed, map[string]any{"secretRef": map[string]any{"name": "review"}})
		p.becomes("branch", "Failed", "k8s/secret.yaml: cannot be decrypted: no available key decrypts it: it is encrypted for "+v.key(), "there are no credentials (sops.vault-token)")
		p.keeps("elsewhere", sealed, map[string]any{"allow": []any{v.URL + "/v1/transit/keys/other", v.role()}})
		p.becomes("elsewhere", "Failed", "it needs a remote key that is not allowed here: "+v.key())
		if logins, _ := v.counts(); logins != 1 {
			t.Errorf("%d logins", logins)
		}
	})
	t.Run("a key that no flag lists", func(t *testing.T) {
		other := strings.ReplaceAll(sealed, "key_name: posts", "key_name: other")
		p.keeps("unlisted", other, map[string]any{"secretRef": map[string]any{"name": "vault"}, "allow": []any{v.URL}})
		p.becomes("unlisted", "Failed", "it needs a remote key that is not allowed here: "+v.URL+"/v1/transit/keys/other; an administrator may list the key")
	})
	t.Run("an entry without decryption", func(t *testing.T) {
		p.keeps("keyless", sealed, nil)
		p.becomes("keyless", "Failed", "k8s/secret.yaml: cannot be decrypted: no available key decrypts it: it is encrypted for "+v.key()+"; set decryption.secretRef in entry production of Repository keyless")
	})
	t.Run("an outage", func(t *testing.T) { p.testOutage(t, v, sealed) })
	t.Run("the key Secret comes and changes", p.testKeySecret)
	if v.refused > 0 {
		t.Errorf("it was asked for %d things that it has not", v.refused)
	}
}

// testFifty creates fifty environments of two repositories that all use the file of the first one.
func (p *port) testFifty(t *testing.T, v *vault, sealed string) {
	_, before := v.counts()
	var names []string
	for _, repository := range []string{"fifty", "more"} {
		r := p.git.Repository(repository)
		for n := range 25 {
			r.Commit(fmt.Sprintf("f%d", n), map[string]string{"k8s/secret.yaml": sealed}, "begin")
			names = append(names, fmt.Sprintf("%s.review.f%d", repository, n))
		}
		r.SetDefault("f0")
		p.followsWith(repository, r, map[string]any{"name": "review", "branches": []any{"**"}, "path": "k8s", "namespace": repository + "-${BRANCH_SLUG}",
			"decryption": map[string]any{"secretRef": map[string]any{"name": "vault"}}})
	}
	for _, name := range names {
		p.environmentBecomes(name, "Healthy")
	}
	if _, after := v.counts(); after != before {
		t.Errorf("fifty environments had it decrypted %d times more", after-before)
	}
}

// testOutage pushes a commit that needs the key while the key is unavailable.
func (p *port) testOutage(t *testing.T, v *vault, sealed string) {
	healthy := p.environment("token.production.main", "status", "healthyCommit")
	v.set(true)
	p.git.Repository("token").Change("main", "another file", gittest.Remove("k8s/secret.yaml"), gittest.Write("k8s/moved.yaml", sealed),
		gittest.Write("k8s/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: posts}\n"))
	p.polls("token")
	p.becomes("token", "Waiting", "k8s/moved.yaml: cannot be decrypted: its remote key did not decrypt its data key: "+v.key(), "503 Service Unavailable (Vault is sealed); check that the service is up")
	p.holds("token")
	if got := p.environment("token.production.main", "status", "healthyCommit"); got != healthy {
		t.Errorf("during the outage the healthy commit is %q, was %q", got, healthy)
	}
	if _, err := p.client.Resource(configMaps).Namespace("token").Get(t.Context(), "posts", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("half of the commit was applied: %v", err)
	}
	v.set(false)
	p.becomes("token", "Healthy")
	p.holds("token")
	if got := p.environment("token.production.main", "status", "healthyCommit"); got == healthy {
		t.Error("after the outage the commit is not applied")
	}
}

// testKeySecret repairs an environment step by step, by changes to its key Secret alone.
func (p *port) testKeySecret(t *testing.T) {
	file := string(read(t, example+"infra/review/secret.yaml"))
	keys := map[string]string{}
	for _, name := range []string{"review", "production"} {
		keys[name] = string(read(t, example+"berth/demo-keys/"+name+".agekey"))
	}
	p.keeps("late", file, map[string]any{"secretRef": map[string]any{"name": "late"}})
	p.becomes("late", "Failed", "the Secret berth/late, with which the entry production decrypts, does not exist; create it with the keys")
	p.setSecret("late", map[string]string{"note": "x"})
	p.becomes("late", "Failed", "does not hold keys: there is no key: entries are named *.agekey")
	p.setSecret("late", map[string]string{"old.agekey": keys["production"]})
	p.becomes("late", "Failed", "no available key decrypts it", "sops updatekeys k8s/secret.yaml")
	p.setSecret("late", map[string]string{"old.agekey": keys["production"], "new.agekey": keys["review"]})
	p.becomes("late", "Healthy")
	p.setSecret("late", map[string]string{"new.agekey": keys["review"]})
	p.becomes("late", "Healthy")
	p.setSecret("late", map[string]string{"old.agekey": keys["production"]})
	p.becomes("late", "Failed", "no available key decrypts it")
	if _, err := p.client.Resource(secretsKind).Namespace("late").Get(t.Context(), "posts", metav1.GetOptions{}); err != nil {
		t.Errorf("what ran is gone with the key: %v", err)
	}
}

// agent starts an agent with flags, and ends it with the test.
func (p *port) agent(kubeconfig string, flags ...string) {
	p.t.Helper()
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	agent := exec.CommandContext(ctx, "berth", append([]string{"agent", "--kubeconfig", kubeconfig, "--store-dir", p.t.TempDir(),
		"--metrics-address", "0", "--health-address", "0", "--webhook-address", "0", "--log-level", "debug"}, flags...)...)
	agent.Stderr = &log
	agent.SysProcAttr = withTests()
	if err := agent.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		cancel()
		_ = agent.Wait() // it was killed
		if p.t.Failed() {
			p.t.Logf("the agent:\n%s", &log)
		}
		for _, secret := range []string{goldenSecret, agentsToken, enteredVault, loggedInVault} {
			if strings.Contains(log.String(), secret) {
				p.t.Errorf("the log of the agent holds %q", secret)
			}
		}
	})
}

// setSecret makes a Secret of the agent's namespace have exactly these entries.
func (p *port) setSecret(name string, entries map[string]string) {
	p.t.Helper()
	secret := &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: deploy.Namespace}, Data: map[string][]byte{}}
	for key, value := range entries {
		secret.Data[key] = []byte(value)
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(secret)
	if err != nil {
		p.t.Fatal(err)
	}
	in := p.client.Resource(secretsKind).Namespace(deploy.Namespace)
	if _, err = in.Update(p.t.Context(), &unstructured.Unstructured{Object: object}, metav1.UpdateOptions{}); apierrors.IsNotFound(err) {
		_, err = in.Create(p.t.Context(), &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// keeps creates a Repository with one encrypted file, and one entry with this decryption.
func (p *port) keeps(name, file string, decryption map[string]any) {
	p.t.Helper()
	r := p.git.Repository(name)
	r.Commit("main", map[string]string{"k8s/secret.yaml": file}, "begin")
	entry := map[string]any{"name": "production", "branches": []any{"main"}, "path": "k8s", "namespace": name}
	if decryption != nil {
		entry["decryption"] = decryption
	}
	p.followsWith(name, r, entry)
}

func (p *port) followsWith(name string, r *gittest.Repository, entry map[string]any) {
	p.t.Helper()
	object := newObject("berth.dev/v1alpha1", "Repository", name, map[string]any{"spec": map[string]any{
		"url": r.URL(), "poll": "@every 24h", "environments": []any{entry}}})
	if _, err := p.client.Resource(repositories).Namespace(deploy.Namespace).Create(p.t.Context(), object, metav1.CreateOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// polls triggers a listing of a repository.
func (p *port) polls(name string) {
	p.t.Helper()
	patch := []byte(`{"metadata": {"annotations": {"berth.dev/requested": "` + p.git.Repository(name).Head("main") + `"}}}`)
	if _, err := p.client.Resource(repositories).Namespace(deploy.Namespace).Patch(p.t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// becomes waits until the environment of a repository's main branch reports the reason and the texts for the
// branch's head.
func (p *port) becomes(repository, reason string, texts ...string) {
	p.t.Helper()
	name := repository + ".production.main"
	p.await(name+" is at the head", func(context.Context) bool {
		return p.environment(name, "spec", "commit") == p.git.Repository(repository).Head("main")
	})
	p.environmentBecomes(name, reason, texts...)
}

func (p *port) environmentBecomes(name, reason string, texts ...string) {
	p.t.Helper()
	var last []any
	defer func() {
		if p.t.Failed() {
			p.t.Logf("%s: %v", name, last)
		}
	}()
	p.await(fmt.Sprintf("%s is %s %q", name, reason, texts), func(ctx context.Context) bool {
		object, err := p.client.Resource(environmentsServed).Namespace(deploy.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false
		}
		last, _, _ = unstructured.NestedSlice(object.Object, "status", "conditions")
		for _, item := range last {
			c, _ := item.(map[string]any)
			if c["type"] == "Ready" && c["reason"] == reason && c["observedGeneration"] == object.GetGeneration() {
				message, _ := c["message"].(string)
				return holdsAll(message, texts)
			}
		}
		return false
	})
}

func holdsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// environment returns a text field of an Environment, or "".
func (p *port) environment(name string, fields ...string) string {
	p.t.Helper()
	object, err := p.client.Resource(environmentsServed).Namespace(deploy.Namespace).Get(p.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	text, _, _ := unstructured.NestedString(object.Object, fields...)
	return text
}

// holds checks that the Secret of a namespace has the value of the file.
func (p *port) holds(namespace string) {
	p.t.Helper()
	object, err := p.client.Resource(secretsKind).Namespace(namespace).Get(p.t.Context(), "db", metav1.GetOptions{})
	if err != nil {
		p.t.Error(err)
		return
	}
	text, _, _ := unstructured.NestedString(object.Object, "data", "password")
	if content, _ := base64.StdEncoding.DecodeString(text); string(content) != goldenSecret {
		p.t.Errorf("the Secret of %s says %q", namespace, content)
	}
}
