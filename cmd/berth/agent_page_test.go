package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	clienttesting "k8s.io/client-go/testing"
)

// A page without a login, or with one that others on the network could read, is not served.
func TestThePageOfTheAgentNeedsALogin(t *testing.T) {
	issuer := []string{"--page-address=:8090", "--page-url=https://berth.example.com", "--page-issuer=https://gitlab.example.com", "--page-client-id=berth"}
	proxy := []string{"--page-address=:8090", "--page-url=https://berth.example.com", "--page-proxy-user-header=X-User"}
	for name, test := range map[string]struct {
		flags []string
		says  string
	}{
		"off":                         {nil, ""},
		"an issuer":                   {issuer, ""},
		"a proxy":                     {proxy, ""},
		"an issuer on loopback":       {append(issuer, "--page-url=http://127.0.0.1:8090", "--page-issuer=http://localhost:5556/dex"), ""},
		"no login":                    {issuer[:2], "--page-address needs a login"},
		"no login, on loopback":       {[]string{"--page-address=127.0.0.1:8090", "--page-url=http://127.0.0.1:8090"}, "--page-address needs a login"},
		"two logins":                  {append(issuer, "--page-proxy-user-header=X-User"), "exclude each other"},
		"no client":                   {issuer[:3], "--page-issuer needs --page-client-id"},
		"no user":                     {append(issuer, "--page-user-claim="), "--page-user-claim is empty"},
		"no ID token":                 {append(issuer, "--page-scopes=email"), "--page-scopes lacks openid"},
		"no address":                  {append(issuer, "--page-url="), `--page-url "" is not an address`},
		"an address without TLS":      {append(issuer, "--page-url=http://berth.example.com"), "--page-url http://berth.example.com is not encrypted"},
		"an address with a path":      {append(issuer, "--page-url=https://example.com/berth"), "has a path"},
		"an address with credentials": {append(issuer, "--page-url=https://a:b@example.com"), "is not an address"},
		"an issuer without TLS":       {append(issuer, "--page-issuer=http://gitlab.example.com"), "is not encrypted"},
		"a reserved prefix":           {append(issuer, "--page-groups-prefix=system:"), "is reserved for Kubernetes"},
		"a session without end":       {append(issuer, "--page-session=1000h"), "--page-session 1000h0m0s is not between"},
	} {
		var o pageOptions
		f := pflag.NewFlagSet(name, pflag.ContinueOnError)
		o.addTo(f)
		if err := f.Parse(test.flags); err != nil {
			t.Fatal(err)
		}
		err := o.check()
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTheAddressOfThePageHasNoDefaultPort(t *testing.T) {
	for text, want := range map[string]string{
		"https://Berth.Example.com:443/": "https://berth.example.com", "https://berth.example.com:8443": "https://berth.example.com:8443",
		"http://127.0.0.1:80": "http://127.0.0.1", "https://berth.example.com/": "https://berth.example.com",
	} {
		if got, err := addressOfPage("--page-url", text); err != nil || got.String() != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
}

// While the API server does not answer, nobody who is logged in is locked out. A Secret that is gone lets nobody in.
func TestThePageKeepsTheSecretThatItKnows(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "berth-page", Namespace: "berth"}, Data: map[string][]byte{"clientSecret": []byte("one\n")}}
	client := fake.NewClientset(secret)
	fails := false
	client.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return fails, nil, errors.New("the API server is gone")
	})
	p := &pageSecret{secrets: client.CoreV1().Secrets("berth"), name: "berth-page"}
	reads := func() (string, error) {
		if !p.at.IsZero() {
			p.at = p.at.Add(-secretsAge)
		}
		p.failed = time.Time{}
		secrets, err := p.read(t.Context())
		return secrets.Client, err
	}
	if _, err := (&pageSecret{secrets: client.CoreV1().Secrets("berth"), name: "another"}).read(context.WithoutCancel(t.Context())); err == nil {
		t.Error("a Secret that is missing counts")
	}
	first, err := p.read(t.Context())
	if err != nil || first.Client != "one" {
		t.Fatalf("got %q, %v", first.Client, err)
	}
	fails = true
	if got, err := reads(); got != "one" || err != nil {
		t.Errorf("without an answer: %q, %v", got, err)
	}
	asked := len(client.Actions())
	if got, err := p.read(t.Context()); got.Client != "one" || err != nil || len(client.Actions()) > asked {
		t.Errorf("just after that: %q, %v, with another request: %t", got.Client, err, len(client.Actions()) > asked)
	}
	fails = false
	if err := client.CoreV1().Secrets("berth").Delete(t.Context(), "berth-page", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := reads(); err == nil {
		t.Errorf("when it is gone: %q", got)
	}
	fails = true
	if got, err := reads(); err == nil {
		t.Errorf("without an answer after it was gone: %q", got)
	}
}

// strictSecrets refuse a request that never ends, or whose context ended.
type strictSecrets struct{ typedcorev1.SecretInterface }

func (h strictSecrets) Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.Secret, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, ends := ctx.Deadline(); !ends {
		return nil, errors.New("the request may last for good")
	}
	return h.SecretInterface.Get(ctx, name, o)
}

// A browser that leaves must not cause an error for others, who wait for the same answer.
func TestABrowserThatLeavesDoesNotLockOthersOut(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "berth-page", Namespace: "berth"}, Data: map[string][]byte{"clientSecret": []byte("one")}}
	p := &pageSecret{secrets: strictSecrets{fake.NewClientset(secret).CoreV1().Secrets("berth")}, name: "berth-page"}
	left, leave := context.WithCancel(t.Context())
	leave()
	if got, err := p.read(left); err != nil || got.Client != "one" {
		t.Errorf("got %q, %v", got.Client, err)
	}
}
