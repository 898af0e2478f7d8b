package secrets_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/secrets"
)

func TestKeysThatNobodyGaveAreNotFound(t *testing.T) {
	command := workers(t) // built before the environment changes
	sopstest.Plant(t)
	for file, content := range map[string][]byte{
		"secret.yaml": golden(t, "secret.yaml"), "groups.json": golden(t, "groups.json"), "ssh.yaml": golden(t, "ssh.yaml"),
		"example.yaml": published(t, "example.yaml"),
	} {
		for _, d := range []*secrets.Decrypter{secrets.New(secrets.Config{Workers: command}), with(t, "hybrid")} {
			got, err := d.Decrypt(t.Context(), file, content)
			var e *secrets.Error
			if !errors.As(err, &e) || e.Reason != secrets.NoKey {
				t.Errorf("%s: got %q, %v", file, got, err)
			}
		}
	}
}

func TestServicesThatNobodyListedAreNotAsked(t *testing.T) {
	workers := workers(t)
	sopstest.Plant(t)
	for name, r := range sopstest.RemoteKeys("https://vault.example.com") {
		for _, list := range []secrets.Remote{{}, {Vault: []string{"https://vault.example.org"}, AWS: []string{"arn:aws:kms:eu-west-1:1:key/other"}}} {
			d := secrets.New(secrets.Config{Keys: sopstest.Credentials(t), Remote: list, Workers: workers})
			_, err := d.Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, r.Metadata, "hunter2"))
			var e *secrets.Error
			if !errors.As(err, &e) || e.Reason != secrets.NotAllowed || !strings.Contains(err.Error(), "not allowed here: "+r.ID) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
}

// The text of an Error lands in logs, and people without access to the file read it.
func TestErrorsNameRecipientsAndTheWayOut(t *testing.T) {
	_, err := with(t, "review").Decrypt(t.Context(), "infra/k8s/secret.yaml", golden(t, "secret.yaml"))
	held, wanted := keysOf(t, "review").Recipients(), keysOf(t, "production").Recipients()
	want := "no available key decrypts it: it is encrypted for " + wanted[0] + ", and the available keys are those of " + held[0] +
		"; add the recipient of an available key to .sops.yaml and run: sops updatekeys infra/k8s/secret.yaml"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	var e *secrets.Error
	if !errors.As(err, &e) || !reflect.DeepEqual(e.Held, held) || !reflect.DeepEqual(e.Recipients, wanted) {
		t.Errorf("got %+v", e)
	}
}

func TestErrorsCannotBeForged(t *testing.T) {
	forged := strings.Replace(string(golden(t, "secret.yaml")), "recipient: ", "recipient: \"\\e[2J\\n\" # ", 1)
	_, err := with(t, "review").Decrypt(t.Context(), "a b'$(x).yaml", []byte(forged))
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("got %q", err)
	}
	if !strings.HasSuffix(err.Error(), `sops updatekeys 'a b'\''$(x).yaml'`) {
		t.Errorf("got %v", err)
	}
}
