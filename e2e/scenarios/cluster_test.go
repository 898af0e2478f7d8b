package scenarios

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/internal/clustertest"
)

// installs applies manifests as a cluster administrator, until the end of the test or until removes is called.
func installs(t *testing.T, manifests string) (removes func()) {
	t.Helper()
	client, err := dynamic.NewForConfig(shared.Cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for _, text := range strings.Split(manifests, "---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	if err := clustertest.Apply(t.Context(), shared.Cluster.RESTConfig(), objects...); err != nil {
		t.Fatal(err)
	}
	removes = func() {
		for _, object := range slices.Backward(objects) {
			resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
			err := client.Resource(resource).Namespace(object.GetNamespace()).Delete(reporter{t}.Context(), object.GetName(), metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				t.Errorf("cannot remove %s %s: %v", object.GetKind(), object.GetName(), err)
			}
		}
	}
	t.Cleanup(removes)
	return removes
}

// definition is the CustomResourceDefinition of the kind Database in a group.
func definition(group string) string {
	return strings.ReplaceAll(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: Database, plural: databases}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`, "GROUP", group)
}

// databases returns a Database with the given number of members.
func databases(group, name, members string) string {
	return "apiVersion: " + group + "/v1\nkind: Database\nmetadata: {name: " + name + "}\nspec: {members: " + members + "}\n"
}

// rights allows Git to bring Databases of a group.
func rights(group string) string {
	return strings.ReplaceAll(`apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: berth-GROUP, labels: {berth.dev/aggregate-to-environment: "true"}}
rules:
- {apiGroups: [GROUP], resources: [databases], verbs: [get, list, watch, create, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: berth-watch-GROUP, labels: {berth.dev/aggregate-to-watch: "true"}}
rules:
- {apiGroups: [GROUP], resources: [databases], verbs: [get, list, watch]}
`, "GROUP", group)
}

// deployer prepares a namespace for an entry with the account deployer, as docs/security.md asks an administrator to.
// The account has the rights of environments there, and one more ClusterRole in the whole cluster. The agent may
// impersonate it.
func deployer(t *testing.T, namespace, clusterRole string) {
	t.Helper()
	installs(t, strings.NewReplacer("NS", namespace, "ROLE", clusterRole).Replace(`apiVersion: v1
kind: Namespace
metadata: {name: NS}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: berth-impersonate-deployer, namespace: NS}
rules: [{apiGroups: [""], resources: [serviceaccounts], resourceNames: [deployer], verbs: [impersonate]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: berth-impersonate-deployer, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: berth-impersonate-deployer}
subjects: [{kind: ServiceAccount, name: berth, namespace: berth}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: berth-environment}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NS}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: deployer-NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ROLE}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NS}]
`))
}

// An asked is a request of the API server to a webhook.
type asked struct {
	Request struct {
		UID    string          `json:"uid"`
		DryRun bool            `json:"dryRun"`
		Object json.RawMessage `json:"object"`
	} `json:"request"`
}

// guards lets a webhook decide about the ConfigMaps of a namespace. The API server denies a request if the function
// returns a text for it, or never returns.
func guards(t *testing.T, namespace string, denies func(asked) string) (removes func()) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review asked
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		why := denies(review)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
			"response": map[string]any{"uid": review.Request.UID, "allowed": why == "", "status": map[string]any{"message": why}},
		})
	}))
	t.Cleanup(server.Close)
	return guardedAt(t, namespace, server.URL, server.Certificate().Raw)
}

// guardedAt is guards with the address of a webhook, which need not exist.
func guardedAt(t *testing.T, namespace, url string, certificate []byte) (removes func()) {
	t.Helper()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	return installs(t, strings.NewReplacer("NS", namespace, "URL", url, "CA", base64.StdEncoding.EncodeToString(authority)).Replace(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NS}
webhooks:
- name: guard.example.com
  clientConfig: {url: "URL", caBundle: CA}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  timeoutSeconds: 30
  failurePolicy: Fail
  sideEffects: None
  admissionReviewVersions: [v1]
`))
}

// about reports whether the object in a webhook's request contains a text.
func (a asked) about(text string) bool { return bytes.Contains(a.Request.Object, []byte(text)) }
