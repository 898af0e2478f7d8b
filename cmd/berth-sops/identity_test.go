package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/secrets"
)

const vaultRole = "https://vault.example.com/v1/auth/kubernetes/role/berth"

// logins are the ways in which the agent authenticates, each with the address that it calls.
var logins = []struct {
	name, service, asks string
}{
	{"an IAM role for the service account", "AWS", "sts.eu-central-1.amazonaws.com/"},
	{"EKS Pod Identity", "AWS", "169.254.170.23/v1/credentials"},
	{"the metadata server", "GCP", "/service-accounts/default/token"},
	{"a federated credential", "Azure", "/oauth2/v2.0/token"},
	{"a role of Vault", "Vault", "/v1/auth/kubernetes/login"},
}

// allowing lists a key of a service, and the role at Vault.
func allowing(service string) (sopstest.Recipient, secrets.Remote) {
	r := sopstest.RemoteKeys("https://vault.example.com")[service]
	list := r.List(r.ID)
	if service == "Vault" {
		list.Vault = append(list.Vault, vaultRole)
	}
	return r, list
}

// eachLogin runs a test with a Decrypter that has no keys but an identity, and a file for it.
func eachLogin(t *testing.T, test func(t *testing.T, f *federation, d *secrets.Decrypter, file []byte, asks string)) {
	for _, login := range logins {
		t.Run(login.name, func(t *testing.T) {
			f := newFederation(t)
			var pods []func(*secrets.IdentityConfig)
			if login.name == "EKS Pod Identity" {
				pods = append(pods, f.withPods)
			}
			r, list := allowing(login.service)
			d := secrets.New(secrets.Config{Remote: list, Identity: f.identity(pods...), Workers: f.workers()})
			test(t, f, d, sopstest.Forge(t, r.Metadata, "hunter2"), login.asks)
		})
	}
}

func TestTheAgentsIdentityDecrypts(t *testing.T) {
	eachLogin(t, func(t *testing.T, f *federation, d *secrets.Decrypter, file []byte, asks string) {
		for range 3 {
			if got, err := d.Decrypt(t.Context(), "a.yaml", file); err != nil || string(got) != "a: hunter2\n" {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		if n := f.calls(asks); n != 1 {
			t.Errorf("it logged in %d times for three files", n)
		}
	})
}

func TestManyAtOnceLogInOnce(t *testing.T) {
	eachLogin(t, func(t *testing.T, f *federation, d *secrets.Decrypter, file []byte, asks string) {
		var files sync.WaitGroup
		for range 20 {
			files.Go(func() {
				if _, err := d.Decrypt(t.Context(), "a.yaml", file); err != nil {
					t.Error(err)
				}
			})
		}
		files.Wait()
		if n := f.calls(asks); n != 1 {
			t.Errorf("it logged in %d times", n)
		}
	})
}

// A token is not used in the last minute before its expiry. The service account's token, which the kubelet renews,
// is read for each login.
func TestCredentialsAreRenewed(t *testing.T) {
	eachLogin(t, func(t *testing.T, f *federation, d *secrets.Decrypter, file []byte, asks string) {
		f.lifetime = 30 * time.Second
		for want := 1; want <= 2; want++ {
			if _, err := d.Decrypt(t.Context(), "a.yaml", file); err != nil {
				t.Fatal(err)
			}
			if n := f.calls(asks); n != want {
				t.Errorf("for file %d it has logged in %d times", want, n)
			}
			for _, audience := range []string{"sts.amazonaws.com", "pods.eks.amazonaws.com", "api://AzureADTokenExchange", "vault"} {
				f.rotate(audience)
			}
		}
	})
}

func TestCredentialsThatWereTakenBackAreForgotten(t *testing.T) {
	eachLogin(t, func(t *testing.T, f *federation, d *secrets.Decrypter, file []byte, _ string) {
		if _, err := d.Decrypt(t.Context(), "a.yaml", file); err != nil {
			t.Fatal(err)
		}
		f.revoke()
		if _, err := d.Decrypt(t.Context(), "a.yaml", file); err == nil {
			t.Fatal("a revoked token decrypts")
		}
		if _, err := d.Decrypt(t.Context(), "a.yaml", file); err != nil {
			t.Error(err)
		}
	})
}

// The agent must not authenticate for every file, even though it could.
func TestAnIdentityIsUsedForListedKeysAlone(t *testing.T) {
	sopstest.Plant(t)
	for service := range sopstest.RemoteKeys("https://vault.example.com") {
		f := newFederation(t)
		r, list := allowing(service)
		for _, test := range []struct {
			name   string
			config secrets.Config
			want   secrets.Reason
		}{
			{"no list", secrets.Config{Identity: f.identity()}, secrets.NotAllowed},
			{"no identity", secrets.Config{Remote: list}, secrets.NoKey},
			{"an empty identity", secrets.Config{Remote: list, Identity: f.identity(func(c *secrets.IdentityConfig) {
				c.AWS, c.GCP, c.Azure, c.Vault = secrets.AWSIdentity{}, secrets.GCPIdentity{}, secrets.AzureIdentity{}, secrets.VaultIdentity{}
			})}, secrets.NoKey},
		} {
			test.config.Workers = f.workers()
			_, err := secrets.New(test.config).Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, r.Metadata, "hunter2"))
			var e *secrets.Error
			if !errors.As(err, &e) || e.Reason != test.want {
				t.Errorf("%s, %s: got %v", service, test.name, err)
			}
			if test.config.Identity == nil && err.Error() != "no available key decrypts it: it is encrypted for "+r.ID {
				t.Errorf("%s, %s: got %v", service, test.name, err)
			}
		}
		if n := f.calls(""); n != 0 {
			t.Errorf("%s: %d calls", service, n)
		}
	}
}

func TestRolesOfVault(t *testing.T) {
	r := sopstest.RemoteKeys("https://vault.example.com")["Vault"]
	for _, test := range []struct {
		name  string
		roles []string
		want  string
	}{
		{"none", nil, "for " + r.ID + " there are no credentials (sops.vault-token); add them to the key Secret, or name the key in the entry's decryption.allow"},
		{"of another server", []string{"https://other.example.com/v1/auth/kubernetes/role/berth"}, "there are no credentials (sops.vault-token)"},
		{"the beginning of one", []string{"https://vault.example.com/v1/auth"}, "there are no credentials (sops.vault-token)"},
		{"one that climbs", []string{"https://vault.example.com/v1/auth/x/../kubernetes/role/berth"}, "there are no credentials (sops.vault-token)"},
		{"two", []string{vaultRole, vaultRole + "-admin"}, "several roles are allowed at its address; name one of them in the entry's decryption.allow"},
		{"one that is not there", []string{vaultRole + "-other"}, "vault.example.com says 403 Forbidden (AccessDeniedException)"},
	} {
		f := newFederation(t)
		d := secrets.New(secrets.Config{Remote: secrets.Remote{Vault: append(test.roles, r.ID)}, Identity: f.identity(), Workers: f.workers()})
		if _, err := d.Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, r.Metadata, "hunter2")); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
	inClear := sopstest.RemoteKeys("http://vault.example.com")["Vault"]
	f := newFederation(t)
	d := secrets.New(secrets.Config{Remote: secrets.Remote{Vault: []string{inClear.ID, "http://vault.example.com/v1/auth/kubernetes/role/berth"}}, Identity: f.identity(), Workers: f.workers()})
	if _, err := d.Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, inClear.Metadata, "hunter2")); err == nil || !strings.Contains(err.Error(), "the agent does not log in without https") || f.calls("") != 0 {
		t.Errorf("without https: got %v", err)
	}
}

// The administrator who put credentials into the key Secret wants these used.
func TestTheKeySecretComesBeforeTheIdentity(t *testing.T) {
	c, f := newCloud(t), newFederation(t)
	for service := range sopstest.RemoteKeys("https://vault.example.com") {
		r, list := allowing(service)
		d := secrets.New(secrets.Config{Keys: sopstest.Credentials(t), Remote: list, Identity: f.identity(), Workers: c.workers()})
		if _, err := d.Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, r.Metadata, "hunter2")); err != nil {
			t.Errorf("%s: %v", service, err)
		}
	}
	if n := f.calls(""); n != 0 {
		t.Errorf("%d calls", n)
	}
}

// Some services quote requests when they refuse or redirect them, or answer too much.
func TestErrorsOfLoginsDiscloseNothing(t *testing.T) {
	for _, bad := range []reply{
		{http.StatusForbidden, `{"error": "permission denied", "code": "AADSTS700213"}`}, {http.StatusTemporaryRedirect, ""},
		{http.StatusInternalServerError, ""}, {http.StatusOK, "<not what you expect>"}, {http.StatusOK, "{}"}, {http.StatusOK, strings.Repeat(" ", 1<<20)},
	} {
		eachLogin(t, func(t *testing.T, f *federation, d *secrets.Decrypter, file []byte, asks string) {
			f.answers(bad.status, bad.body)
			_, err := d.Decrypt(t.Context(), "a.yaml", file)
			var e *secrets.Error
			if !errors.As(err, &e) || !e.Temporary() {
				t.Fatalf("got %v", err)
			}
			if bad.status != http.StatusOK && !strings.Contains(err.Error(), fmt.Sprintf(" says %d ", bad.status)) {
				t.Errorf("got %v", err)
			}
			if strings.Contains(bad.body, "AADSTS") && !strings.Contains(err.Error(), "(permission denied, AADSTS700213)") {
				t.Errorf("what is known of the trouble is not told: %v", err)
			}
			for _, secret := range []string{"eyJ", "issued-", "secret-of", "Bearer", "expect"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("it quotes %q: %v", secret, err)
				}
			}
			if strings.Contains(asks, "oauth2") {
				asks = "/openid-configuration" // Entra's client fetches the addresses first
			}
			if f.calls("attacker.example.com/") != 0 || f.calls(asks) != 1 {
				t.Errorf("asked %q", f.asked)
			}
		})
	}
}

func TestTokensThatAreNotThere(t *testing.T) {
	eachLogin(t, func(t *testing.T, f *federation, d *secrets.Decrypter, file []byte, asks string) {
		if strings.Contains(asks, "default/token") {
			t.Skip("the metadata server wants none")
		}
		for _, change := range []func(string) error{func(name string) error { return os.WriteFile(name, nil, 0o600) }, os.Remove} {
			for _, audience := range []string{"sts.amazonaws.com", "pods.eks.amazonaws.com", "api://AzureADTokenExchange", "vault"} {
				if err := change(f.file(audience)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := d.Decrypt(t.Context(), "a.yaml", file); err == nil || !strings.Contains(err.Error(), "reading the agent's token: ") {
				t.Errorf("got %v", err)
			}
		}
	})
}

// Other clouds have a metadata server at the same address.
func TestAnotherCloudsMetadataServerIsNotBelieved(t *testing.T) {
	f := newFederation(t)
	r, list := allowing("GCP")
	f.answers(http.StatusOK, `{"access_token": "x", "expires_in": 3600}`)
	_, err := secrets.New(secrets.Config{Remote: list, Identity: f.identity(), Workers: f.workers()}).Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, r.Metadata, "hunter2"))
	if err == nil || !strings.Contains(err.Error(), "169.254.169.254: its answer is not that of such a service") {
		t.Errorf("got %v", err)
	}
}

func TestIdentitiesThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		config secrets.IdentityConfig
		want   string
	}{
		{"nothing", secrets.IdentityConfig{}, ""},
		{"credentials of this node", secrets.IdentityConfig{AWS: secrets.AWSIdentity{CredentialsURL: "http://[fd00:ec2::23]/v1/credentials"}}, ""},
		{"credentials over https", secrets.IdentityConfig{AWS: secrets.AWSIdentity{CredentialsURL: "https://example.com/"}}, ""},
		{"credentials of loopback", secrets.IdentityConfig{AWS: secrets.AWSIdentity{CredentialsURL: "http://127.0.0.1:80/"}}, ""},
		{"credentials over the network", secrets.IdentityConfig{AWS: secrets.AWSIdentity{CredentialsURL: "http://10.0.0.1/"}}, `cannot ask "http://10.0.0.1/" for credentials of AWS: it is neither https nor an address of this node`},
		{"a metadata server elsewhere", secrets.IdentityConfig{GCP: secrets.GCPIdentity{MetadataHost: "example.com"}}, `cannot ask "example.com" for credentials of Google: it is no address of this node`},
		{"Entra over http", secrets.IdentityConfig{Azure: secrets.AzureIdentity{Authority: "http://login.example.com/"}}, `cannot ask "http://login.example.com/" for credentials of Azure: it is not https`},
		{"a tenant that climbs", secrets.IdentityConfig{Azure: secrets.AzureIdentity{Tenant: "a/../b"}}, `cannot ask for credentials of Azure: "a/../b" is no tenant`},
	} {
		_, err := secrets.NewIdentity(test.config)
		if test.want == "" && err != nil || test.want != "" && fmt.Sprint(err) != test.want {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
}
