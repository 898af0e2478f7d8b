package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/secrets"
)

// The agent's environment and home directory must not change which services the clouds' clients call, nor with
// which credentials.
func TestAPlantedEnvironmentIsNotSeen(t *testing.T) {
	c, f := newCloud(t), newFederation(t)
	byKey, byIdentity := c.workers(), f.workers()
	sopstest.Plant(t)
	for service := range sopstest.RemoteKeys("https://vault.example.com") {
		r, list := allowing(service)
		for name, config := range map[string]secrets.Config{
			"the key Secret": {Keys: sopstest.Credentials(t), Remote: list, Workers: byKey},
			"the identity":   {Remote: list, Identity: f.identity(), Workers: byIdentity},
		} {
			planted := strings.Replace(r.Metadata, `aws_profile: ""`, "aws_profile: default", 1) // files name profiles, too
			if _, err := secrets.New(config).Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, planted, "hunter2")); err != nil {
				t.Errorf("%s, by %s: %v", service, name, err)
			}
		}
	}
	// Without credentials no client calls any service.
	for service := range sopstest.RemoteKeys("https://vault.example.com") {
		r, list := allowing(service)
		keys := keysOf(t, map[string]string{"a.agekey": testdata(t, "golden/review.agekey")})
		if _, err := secrets.New(secrets.Config{Keys: keys, Remote: list, Workers: byKey}).Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, r.Metadata, "hunter2")); err == nil {
			t.Errorf("%s: it decrypts with what was planted", service)
		}
	}
}

// inNamespace marks a process whose mount namespace has a hostile /etc/sops/audit.yaml.
const inNamespace = "BERTH_TEST_AUDIT"

// The library reads /etc/sops/audit.yaml before main begins. If the file is broken it ends the program; otherwise
// it connects to the database that the file names. Only root can create the file, so only root can run this test.
func TestTheAuditFileIsNotRead(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		decryptGolden(t)
		return
	}
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("it takes root on Linux to mount something")
	}
	worker := sopstest.Worker(t) // built with the system's /etc
	for name, content := range map[string]string{
		"broken": "backends: [", "a database": "backends: {postgres: [{connection_string: 'postgres://127.0.0.1:1/x?sslmode=disable'}]}\n",
	} {
		script := `mount -t tmpfs none /etc && mkdir /etc/sops && printf '%s' "$1" > /etc/sops/audit.yaml && exec "$2" -test.run '^TestTheAuditFileIsNotRead$' -test.v`
		command := exec.Command("unshare", "--mount", "sh", "-c", script, "sh", content, os.Args[0])
		command.Env = append(os.Environ(), inNamespace+"="+worker)
		output, err := command.CombinedOutput()
		switch text := string(output); {
		case strings.Contains(text, "unshare failed") || strings.Contains(text, "mount:"):
			t.Skipf("this root may not mount anything: %s", text)
		case err != nil || !strings.Contains(text, "--- PASS"):
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// decryptGolden decrypts with the program itself, whose libraries initialize as in the agent's image.
func decryptGolden(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/etc/sops/audit.yaml"); err != nil {
		t.Fatal(err)
	}
	w := secrets.NewWorkers(secrets.WorkersConfig{Command: []string{os.Getenv(inNamespace)}})
	t.Cleanup(w.Close)
	keys := keysOf(t, map[string]string{"a.agekey": testdata(t, filepath.Join("golden", "production.agekey"))})
	got, err := secrets.New(secrets.Config{Keys: keys, Workers: w}).Decrypt(t.Context(), "secret.yaml", []byte(testdata(t, "golden/secret.yaml")))
	if err != nil || !strings.Contains(string(got), "hunter2") {
		t.Errorf("got %q, %v", got, err)
	}
}
