package remote_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/reconciler/remote"
)

// end is when the credentials of the tests end.
var end = time.Date(2027, 3, 4, 5, 6, 7, 0, time.UTC)

// word is the credential that no error may contain.
const word = "s3cr3t-w0rd"

// jwt returns a token with claims and no signature.
func jwt(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + base64.RawURLEncoding.EncodeToString([]byte(word))
}

// pair returns a certificate that ends then, and its key, in base64 as a kubeconfig holds them.
func pair(t *testing.T, ends time.Time) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "berth"}, NotBefore: ends.Add(-time.Hour), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	check(t, err)
	text, err := x509.MarshalPKCS8PrivateKey(private)
	check(t, err)
	encode := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", text)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// file returns a kubeconfig with the fields of its cluster and its user, in YAML's flow style.
func file(cluster, user string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: there
clusters: [{name: far, cluster: {%s}}]
users: [{name: agent, user: {%s}}]
contexts: [{name: there, context: {cluster: far, user: agent}}]
`, cluster, user)
}

func secret(key, text string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "staging"}, Data: map[string][]byte{key: []byte(text)}}
}

const server = `server: "https://10.0.0.1:6443"`

func TestEmbeddedCredentialsAreRead(t *testing.T) {
	certificate, key := pair(t, end)
	both := "client-certificate-data: " + certificate + ", client-key-data: " + key
	for name, test := range map[string]struct {
		secret *corev1.Secret
		token  string
		ends   time.Time
		what   string
	}{
		"a token that does not say when it ends":   {secret("value", file(server, "token: "+word)), word, time.Time{}, ""},
		"the other key":                            {secret("kubeconfig", file(server, "token: "+word)), word, time.Time{}, ""},
		"a token with a line break at its end":     {secret("value", file(server, `token: "`+word+`\n"`)), word, time.Time{}, ""},
		"a token that ends":                        {secret("value", file(server, "token: "+jwt(fmt.Sprintf(`{"exp":%d}`, end.Unix())))), jwt(fmt.Sprintf(`{"exp":%d}`, end.Unix())), end, "the token"},
		"a token that ends in no year":             {secret("value", file(server, "token: "+jwt(`{"exp":1e300}`))), jwt(`{"exp":1e300}`), time.Time{}, ""},
		"a token with another end":                 {secret("value", file(server, "token: "+jwt(`{"exp":"soon"}`))), jwt(`{"exp":"soon"}`), time.Time{}, ""},
		"a client certificate":                     {secret("value", file(server, both)), "", end, "the client certificate"},
		"a token that ends before the certificate": {secret("value", file(server, both+", token: "+jwt(`{"exp":1800000000}`))), jwt(`{"exp":1800000000}`), time.Unix(1800000000, 0), "the token"},
		"no current-context, and one context":      {secret("value", strings.Replace(file(server, "token: "+word), "current-context: there\n", "", 1)), word, time.Time{}, ""},
		"JSON":                                     {secret("value", `{"current-context":"a","contexts":[{"name":"a","context":{"cluster":"c","user":"u"}}],"clusters":[{"name":"c","cluster":{"server":"https://10.0.0.1:6443"}}],"users":[{"name":"u","user":{"token":"`+word+`"}}]}`), word, time.Time{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := remote.Parse(test.secret)
			check(t, err)
			if got.REST.Host != "https://10.0.0.1:6443" || got.REST.BearerToken != test.token {
				t.Errorf("the server is %s, and the token %q", got.REST.Host, got.REST.BearerToken)
			}
			if !got.Expires.Equal(test.ends) || got.ExpiresWhat != test.what {
				t.Errorf("%q ends %s, want %q at %s", got.ExpiresWhat, got.Expires, test.what, test.ends)
			}
			if got.REST.TLSClientConfig.CertFile+got.REST.TLSClientConfig.KeyFile+got.REST.CAFile+got.REST.BearerTokenFile != "" || got.REST.QPS >= 0 {
				t.Errorf("it reads files, or is slow: %s", got.REST)
			}
		})
	}
}

// Each row is refused by the name of its field, with the next step, and without the credential.
func TestOtherCredentialsAreRefusedByName(t *testing.T) {
	certificate, key := pair(t, end)
	_, otherKey := pair(t, end)
	ok := "token: " + word
	const again, account, files = "; create the Secret again: berth cluster add staging --context CONTEXT",
		"; create a Secret with a token of the agent's own: berth cluster add staging --context CONTEXT",
		"; embed the files: kubectl config view --raw --minify --flatten --context CONTEXT"
	for name, test := range map[string]struct{ text, want string }{
		"exec":                  {file(server, `exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, args: [`+word+`]}`), "gets its credentials from an exec plugin (exec), and the agent runs no programs" + account},
		"exec beside a token":   {file(server, ok+`, exec: {command: aws}`), "(exec)"},
		"auth-provider":         {file(server, `auth-provider: {name: gcp, config: {id-token: `+word+`}}`), "auth provider (auth-provider), which Kubernetes removed" + account},
		"tokenFile":             {file(server, ok+`, tokenFile: /`+word), "names a file with the token (tokenFile), and only an embedded token is read" + account},
		"client-certificate":    {file(server, `client-certificate: /`+word+`, client-key-data: `+key), "(client-certificate), and only client-certificate-data is read" + files},
		"client-key":            {file(server, `client-key: /`+word+`, client-certificate-data: `+certificate), "(client-key), and only client-key-data is read" + files},
		"username":              {file(server, `username: admin, password: `+word), "(username, password), which no API server accepts any more" + account},
		"as":                    {file(server, ok+`, as: admin`), "impersonates another user (as, as-uid, as-groups, as-user-extra)"},
		"as-groups":             {file(server, ok+`, as-groups: [admins]`), "(as, as-uid, as-groups, as-user-extra)"},
		"as-uid":                {file(server, ok+`, as-uid: "7"`), "(as, as-uid, as-groups, as-user-extra)"},
		"as-user-extra":         {file(server, ok+`, as-user-extra: {a: [b]}`), "(as, as-uid, as-groups, as-user-extra)"},
		"nothing":               {file(server, ``), "has no credentials: neither a token nor client-certificate-data" + account},
		"a certificate only":    {file(server, `client-certificate-data: `+certificate), "has client-certificate-data, but no client-key-data" + again},
		"a key only":            {file(server, `client-key-data: `+key), "has client-key-data, but no client-certificate-data" + again},
		"the key of another":    {file(server, `client-certificate-data: `+certificate+`, client-key-data: `+otherKey), "that are no PEM certificate with its key" + again},
		"a token of two lines":  {file(server, `token: "`+word+`\nX-Other: 1"`), "has a token with line breaks or other characters that no token has" + again},
		"a token of spaces":     {file(server, `token: " "`), "has a token with line breaks"},
		"no server":             {file(``, ok), "has no server: the cluster's address is missing" + again},
		"http":                  {file(`server: "http://10.0.0.1:8080"`, ok), "has a server with http://, and the credentials would be sent unencrypted; use https://"},
		"no scheme":             {file(`server: "10.0.0.1:6443"`, ok), "has a server that is no address of the form https://HOST:PORT" + again},
		"another scheme":        {file(`server: "unix://10.0.0.1/run"`, ok), "has a server that does not begin with https://" + again},
		"a password in it":      {file(`server: "https://admin:`+word+`@10.0.0.1"`, ok), "has a user name or a password in the address of the server (server)" + account},
		"a query in it":         {file(`server: "https://10.0.0.1/?`+word+`"`, ok), "has a server with a query or a fragment"},
		"a broken address":      {file(`server: "https://admin:`+word+`@10.0.0.1:x"`, ok), "has a server that is no address of the form https://HOST:PORT"},
		"proxy-url":             {file(server+`, proxy-url: "http://`+word+`@proxy"`, ok), "names a proxy (proxy-url), which the agent does not use; set HTTPS_PROXY for the agent, or name an address that it reaches directly"},
		"insecure":              {file(server+`, insecure-skip-tls-verify: true`, ok), "does not verify the server's certificate (insecure-skip-tls-verify); embed the authority that signed it in certificate-authority-data"},
		"certificate-authority": {file(server+`, certificate-authority: /ca.crt`, ok), "names a file with the certificate authority (certificate-authority), and only certificate-authority-data is read" + files},
		"no authority":          {file(server+`, certificate-authority-data: `+base64.StdEncoding.EncodeToString([]byte(word)), ok), "has no PEM certificate in certificate-authority-data" + again},
		"no context":            {"apiVersion: v1\nkind: Config\nusers: [{name: agent, user: {" + ok + "}}]\n", "has no context" + again},
		"a wrong context":       {strings.Replace(file(server, ok), "current-context: there", "current-context: elsewhere", 1), `has no context "elsewhere", which its current-context names` + again},
		"several contexts":      {strings.NewReplacer("current-context: there", "", "contexts: [", "contexts: [{name: other, context: {cluster: far, user: agent}}, ").Replace(file(server, ok)), "has 2 contexts, and no current-context selects one" + again},
		"a wrong cluster":       {strings.Replace(file(server, ok), "cluster: far, user", "cluster: near, user", 1), `has no cluster "near", which its context "there" names` + again},
		"a wrong user":          {strings.Replace(file(server, ok), "user: agent}", "user: admin}", 1), `has no user "admin", which its context "there" names` + again},
		"no YAML":               {"apiVersion: v1\n\ttoken: " + word, "the key value holds no kubeconfig: line 2 is not valid YAML" + again},
		"a wrong type":          {file(server, "token: ["+word+"]"), "the key value holds no kubeconfig: it is not valid YAML, or a field has the wrong type" + again},
		"no base64":             {file(server, "client-certificate-data: '"+word+"!'"), "the key value holds no kubeconfig: "},
		"another kind":          {"apiVersion: v1\nkind: Secret\nstringData: {token: " + word + "}\n", "the key value holds no kubeconfig: "},
		"a text":                {word, "the key value holds no kubeconfig: "},
		"nothing at all":        {"", "the key value is empty" + again},
		"too much":              {strings.Repeat("#\n", 200_000), "the key value has 400000 bytes, and a kubeconfig at most 262144" + again},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := remote.Parse(secret("value", test.text))
			if err == nil {
				t.Fatalf("it was read: %s", got.REST)
			}
			if !strings.HasPrefix(err.Error(), "Secret/staging: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if strings.Contains(err.Error(), word) {
				t.Errorf("the error holds the credential: %v", err)
			}
			if got.REST != nil {
				t.Errorf("a connection came with the error: %s", got.REST)
			}
		})
	}
}

func TestOneKeyHoldsTheKubeconfig(t *testing.T) {
	two := secret("value", file(server, "token: a"))
	two.Data["kubeconfig"] = two.Data["value"]
	for want, s := range map[string]*corev1.Secret{
		"Secret/staging: it has both keys value and kubeconfig, and only one can hold the kubeconfig; create the Secret again: berth cluster add staging --context CONTEXT": two,
		"Secret/staging: it has no key value or kubeconfig with a kubeconfig; ":                                                                                             secret("config", file(server, "token: a")),
	} {
		if _, err := remote.Parse(s); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// quoted are the names in an error, which are no credentials.
var quoted = regexp.MustCompile(`"[^"]*"`)

// No content makes Parse panic, and no error holds the credential.
func FuzzParse(f *testing.F) {
	f.Add("value", file(server, "token: "+word))
	f.Add("kubeconfig", file(server, "username: a, password: "+word))
	f.Add("value", file(server, "client-key-data: "+word))
	f.Add("value", "a: &a [*a, *a]")
	f.Add("value", strings.Repeat("[", 4000)+word)
	f.Add("value", "\x00"+word)
	f.Fuzz(func(t *testing.T, key, text string) {
		_, err := remote.Parse(secret(key, text))
		if err != nil && strings.Contains(quoted.ReplaceAllString(err.Error(), ""), word) {
			t.Errorf("the error holds the credential: %v", err)
		}
	})
}

func TestTheIdentityOfAClusterIsTheSameForAllUsers(t *testing.T) {
	cluster := clustertest.Start(t, clustertest.Config{APIServerOnly: true})
	client := kubernetes.NewForConfigOrDie(cluster.RESTConfig())
	identity, err := remote.Identity(t.Context(), client.CoreV1())
	check(t, err)
	system, err := client.CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
	check(t, err)
	if identity == "" || identity != system.UID {
		t.Errorf("the identity is %q, want %q", identity, system.UID)
	}
}

// Two clusters without an identity could not be told apart, and a long one would be stored in every record.
func TestAClusterWithoutAnIdentity(t *testing.T) {
	for name, test := range map[string]struct {
		uid types.UID
		ok  bool
	}{"usual": {"8b1d4d6e-6a0c-4f7a-9f2b-0c9d8e7f6a5b", true}, "none": {"", false}, "endless": {types.UID(strings.Repeat("1", 100)), false}} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: test.uid}}
		found, err := remote.Identity(t.Context(), fake.NewClientset(namespace).CoreV1())
		if (err == nil) != test.ok || test.ok && found != test.uid {
			t.Errorf("%s: %q, %v", name, found, err)
		}
	}
}

// Whoever can write a Secret must not fill the agent's memory with it.
func TestAKubeconfigThatGrowsIsRefused(t *testing.T) {
	bomb := "extensions: [{name: a, extension: {text: &a " + strings.Repeat("x", 1000) + "}}]\nmore: [" + strings.Repeat("*a,", 1000) + "]\n"
	_, err := remote.Parse(secret("value", file(server, "token: "+word)+bomb))
	if err == nil || !strings.Contains(err.Error(), "the key value holds no kubeconfig: it has YAML aliases") {
		t.Errorf("the error is %v", err)
	}
}
