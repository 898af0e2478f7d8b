package compat

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"berth.dev/berth/secrets"
	"cloud.google.com/go/compute/metadata"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// ear is every host there is. It notes what it is asked for, and gives credentials as the clouds do.
type ear struct {
	secret, plain *httptest.Server // https and http

	mu    sync.Mutex
	heard map[string]question
}

// question is what a login consists of; how a client introduces itself is left out.
type question struct {
	form          url.Values
	authorization string
	flavor        string
}

func newEar(t *testing.T) *ear {
	e := &ear{heard: map[string]question{}}
	e.secret, e.plain = httptest.NewTLSServer(e), httptest.NewServer(e)
	t.Cleanup(e.secret.Close)
	t.Cleanup(e.plain.Close)
	return e
}

func (e *ear) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, e.plain.Listener.Addr().String())
		},
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			insecure := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // the certificate has the test server's name
			return insecure.DialContext(ctx, network, e.secret.Listener.Addr().String())
		},
	}}
}

var credentials = map[string]string{
	"POST https://sts.eu-central-1.amazonaws.com/": `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>` +
		`<Credentials><AccessKeyId>AKID</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>session</SessionToken><Expiration>2099-01-02T03:04:05Z</Expiration></Credentials>` +
		`</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
	"GET http://169.254.170.23/v1/credentials":                                              `{"AccessKeyId": "AKID", "SecretAccessKey": "secret", "Token": "session", "Expiration": "2099-01-02T03:04:05Z"}`,
	"GET http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token": `{"access_token": "google", "expires_in": 3599, "token_type": "Bearer"}`,
	"POST https://login.microsoftonline.com/tenant/oauth2/v2.0/token":                       `{"access_token": "azure", "expires_in": 3599, "token_type": "Bearer"}`,
	"GET https://login.microsoftonline.com/tenant/v2.0/.well-known/openid-configuration": `{"issuer": "https://login.microsoftonline.com/tenant/v2.0",` +
		`"authorization_endpoint": "https://login.microsoftonline.com/tenant/oauth2/v2.0/authorize", "token_endpoint": "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"}`,
}

func (e *ear) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	asked := r.Method + " " + scheme + r.Host + r.URL.Path
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard[asked] = question{form, r.Header.Get("Authorization"), r.Header.Get("Metadata-Flavor")}
	answer, ok := credentials[asked]
	if !ok {
		w.WriteHeader(http.StatusForbidden) // that is for a key to answer
		return
	}
	if !strings.HasPrefix(answer, "<") {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("Metadata-Flavor", "Google")
	_, _ = io.WriteString(w, answer)
}

// The clouds' own libraries log in as we do, and take what our tests' services answer.
func TestLoginsAreThoseOfTheCloudsLibraries(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("statement"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GCE_METADATA_HOST", "169.254.169.254")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, test := range []struct {
		asks     string
		identity secrets.IdentityConfig
		key      string // the recipient of a file, and how it is listed
		list     secrets.Remote
		theirs   func(ctx context.Context, client *http.Client) (string, error)
		want     string
	}{
		{"POST https://sts.eu-central-1.amazonaws.com/",
			secrets.IdentityConfig{AWS: secrets.AWSIdentity{Role: "arn:aws:iam::111122223333:role/berth", TokenFile: file}},
			"kms: [{arn: 'arn:aws:kms:eu-central-1:111122223333:key/a', enc: eA==}]", secrets.Remote{AWS: []string{"arn:aws:kms:eu-central-1:111122223333:key/a"}},
			func(ctx context.Context, client *http.Client) (string, error) {
				provider := stscreds.NewWebIdentityRoleProvider(sts.New(sts.Options{Region: "eu-central-1", HTTPClient: client}), "arn:aws:iam::111122223333:role/berth",
					stscreds.IdentityTokenFile(file), func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = "berth" })
				got, err := provider.Retrieve(ctx)
				return got.AccessKeyID + got.SecretAccessKey + got.SessionToken, err
			}, "AKIDsecretsession"},
		{"GET http://169.254.170.23/v1/credentials",
			secrets.IdentityConfig{AWS: secrets.AWSIdentity{CredentialsURL: "http://169.254.170.23/v1/credentials", CredentialsTokenFile: file}},
			"kms: [{arn: 'arn:aws:kms:eu-central-1:111122223333:key/a', enc: eA==}]", secrets.Remote{AWS: []string{"arn:aws:kms:eu-central-1:111122223333:key/a"}},
			func(ctx context.Context, client *http.Client) (string, error) {
				provider := endpointcreds.New("http://169.254.170.23/v1/credentials", func(o *endpointcreds.Options) {
					o.HTTPClient, o.AuthorizationTokenProvider = client, endpointcreds.TokenProviderFunc(func() (string, error) { return "statement", nil })
				})
				got, err := provider.Retrieve(ctx)
				return got.AccessKeyID + got.SecretAccessKey + got.SessionToken, err
			}, "AKIDsecretsession"},
		{"GET http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token",
			secrets.IdentityConfig{GCP: secrets.GCPIdentity{MetadataHost: secrets.GCPMetadataHost}},
			"gcp_kms: [{resource_id: projects/a/locations/b/keyRings/c/cryptoKeys/d, enc: eA==}]", secrets.Remote{GCP: []string{"projects/a"}},
			func(ctx context.Context, client *http.Client) (string, error) {
				answer, err := metadata.NewClient(client).GetWithContext(ctx, "instance/service-accounts/default/token")
				var token struct {
					Token string `json:"access_token"`
				}
				_ = json.Unmarshal([]byte(answer), &token)
				return token.Token, err
			}, "google"},
		{"POST https://login.microsoftonline.com/tenant/oauth2/v2.0/token",
			secrets.IdentityConfig{Azure: secrets.AzureIdentity{Tenant: "tenant", Client: "client", TokenFile: file}},
			"azure_kv: [{vault_url: 'https://a.vault.azure.net', name: b, version: c, enc: eA}]", secrets.Remote{Azure: []string{"https://a.vault.azure.net"}},
			func(ctx context.Context, client *http.Client) (string, error) {
				provider, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
					ClientOptions: azcore.ClientOptions{Transport: client}, TenantID: "tenant", ClientID: "client", TokenFilePath: file, DisableInstanceDiscovery: true})
				if err != nil {
					return "", err
				}
				got, err := provider.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
				return got.Token, err
			}, "azure"},
	} {
		t.Run(test.asks, func(t *testing.T) {
			theirs, ours := newEar(t), newEar(t)
			if got, err := test.theirs(t.Context(), theirs.client()); err != nil || got != test.want {
				t.Fatalf("the library got %q, %v", got, err)
			}
			test.identity.HTTPClient = ours.client()
			identity, err := secrets.NewIdentity(test.identity)
			if err != nil {
				t.Fatal(err)
			}
			d := secrets.New(secrets.Config{Remote: test.list, Identity: identity, HTTPClient: ours.client()})
			file := "a: ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]\nsops:\n  lastmodified: \"2026-02-03T04:05:06Z\"\n  mac: x\n  " + test.key + "\n"
			if _, err := d.Decrypt("a.yaml", []byte(file)); err == nil || !strings.Contains(err.Error(), "says 403") {
				t.Fatalf("we got %v", err)
			}
			a, b := theirs.heard[test.asks], ours.heard[test.asks]
			// Microsoft's adds what it adds to every request, for users who log in.
			a.form.Set("scope", strings.TrimSuffix(a.form.Get("scope"), " openid offline_access profile"))
			for name := range b.form {
				if !reflect.DeepEqual(a.form[name], b.form[name]) {
					t.Errorf("we say %s=%q, the library %q", name, b.form[name], a.form[name])
				}
			}
			if a.authorization != b.authorization || a.flavor != b.flavor {
				t.Errorf("we say %+v, the library %+v", b, a)
			}
		})
	}
}
