package clustertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenSeconds is how long a token of ConfigFor is valid: longer than any test.
const tokenSeconds = 24 * 60 * 60

// Namespace creates a namespace with a unique name and returns the name. It is not deleted, because the cluster is.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	var created object
	err := c.post(t.Context(), "/api/v1/namespaces", object{
		APIVersion: "v1", Kind: "Namespace", Metadata: metadata{GenerateName: "test-"},
	}, &created)
	if err != nil {
		t.Fatalf("cannot create a namespace: %v", err)
	}
	return created.Metadata.Name
}

// ConfigFor returns a configuration that has the rights of an existing service
// account and no others.
func (c *Cluster) ConfigFor(ctx context.Context, namespace, account string) (*rest.Config, error) {
	path := fmt.Sprintf("/api/v1/namespaces/%s/serviceaccounts/%s/token", namespace, account)
	request := object{APIVersion: "authentication.k8s.io/v1", Kind: "TokenRequest"}
	request.Spec.ExpirationSeconds = tokenSeconds
	var answer object
	if err := c.post(ctx, path, request, &answer); err != nil {
		return nil, fmt.Errorf("cannot get a token of the account %s/%s: %w", namespace, account, err)
	}
	config := rest.AnonymousClientConfig(c.admin)
	config.BearerToken = answer.Status.Token
	config.QPS = -1
	return config, nil
}

// KubeconfigFor writes a kubeconfig of ConfigFor, with the account's namespace
// as its default, into the cluster's directory, and returns its path.
func (c *Cluster) KubeconfigFor(ctx context.Context, namespace, account string) (string, error) {
	config, err := c.ConfigFor(ctx, namespace, account)
	if err != nil {
		return "", err
	}
	path := filepath.Join(c.Dir(), namespace+"."+account+".kubeconfig")
	return path, writeKubeconfig(path, config, namespace)
}

// WriteKubeconfig writes a configuration with a bearer token as a kubeconfig file.
func WriteKubeconfig(path string, config *rest.Config) error {
	return writeKubeconfig(path, config, "")
}

func writeKubeconfig(path string, config *rest.Config, namespace string) error {
	const name = "berth"
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData,
		InsecureSkipTLSVerify: config.Insecure, TLSServerName: config.ServerName}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: namespace}
	file.CurrentContext = name
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		return fmt.Errorf("cannot write the kubeconfig %q: %w", path, err)
	}
	return nil
}

// An object has the few fields of those kinds that this package sends.
type object struct {
	APIVersion string   `json:"apiVersion,omitempty"`
	Kind       string   `json:"kind,omitempty"`
	Metadata   metadata `json:"metadata,omitzero"`
	Spec       struct {
		ExpirationSeconds int `json:"expirationSeconds,omitempty"`
	} `json:"spec,omitzero"`
	Status struct {
		Token string `json:"token,omitempty"`
	} `json:"status,omitzero"`
}

type metadata struct {
	Name         string `json:"name,omitempty"`
	GenerateName string `json:"generateName,omitempty"`
}

func (c *Cluster) post(ctx context.Context, path string, body, answer any) error {
	client, err := rest.HTTPClientFor(c.admin)
	if err != nil {
		return err
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.admin.Host+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		reason, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%s: %s", response.Status, reason)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}
