package main

import (
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/secrets"
)

// webhooked is an environment as the webhooks of all clouds together would set it.
var webhooked = map[string]string{
	"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/berth", "AWS_WEB_IDENTITY_TOKEN_FILE": "/aws/token", "AWS_REGION": "eu-central-1",
	"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/pods/token",
	"AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant", "AZURE_FEDERATED_TOKEN_FILE": "/azure/token", "AZURE_AUTHORITY_HOST": "https://login.example.com/",
}

// The pod's environment counts only for services with a key that a flag lists.
func TestTheAgentIsSomebodyOnlyWhereAKeyIsListed(t *testing.T) {
	for _, test := range []struct {
		name   string
		listed secrets.Remote
		want   []string
	}{
		{"nothing", secrets.Remote{}, nil},
		{"AWS", secrets.Remote{AWS: []string{"arn:aws:kms:eu-west-1:111122223333:key/abc"}}, []string{"AWS"}},
		{"GCP", secrets.Remote{GCP: []string{"projects/acme"}}, []string{"GCP"}},
		{"Azure", secrets.Remote{Azure: []string{"https://acme.vault.azure.net"}}, []string{"Azure"}},
		{"Vault", secrets.Remote{Vault: []string{"https://vault.example.com"}}, []string{"Vault"}},
	} {
		asked := map[string]bool{}
		r, err := newIdentity(test.listed, serviceAccountToken, func(name string) string { asked[name] = true; return webhooked[name] })
		if err != nil || !slices.Equal(r.Services(), test.want) {
			t.Errorf("%s: got %q, %v", test.name, r.Services(), err)
		}
		if test.want == nil && len(asked) > 0 {
			t.Errorf("%s: looked at %v", test.name, asked)
		}
	}
}

func TestTheAgentOutsideOfACloud(t *testing.T) {
	listed := secrets.Remote{AWS: []string{"arn:aws:kms:eu-west-1:1:key/a"}, Azure: []string{"https://acme.vault.azure.net"}}
	r, err := newIdentity(listed, "", func(string) string { return "" })
	if err != nil || len(r.Services()) > 0 {
		t.Errorf("got %q, %v", r.Services(), err)
	}
	_, err = newIdentity(listed, "", func(name string) string { return strings.Replace(webhooked[name], "169.254.170.23", "10.0.0.1", 1) })
	if err == nil || !strings.Contains(err.Error(), `reading the agent's identity for remote keys: cannot ask "http://10.0.0.1/v1/credentials"`) {
		t.Errorf("got %v", err)
	}
}
