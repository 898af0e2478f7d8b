package apply

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/reconciler/manifest"
)

func TestRefusalsNameTheirObstacles(t *testing.T) {
	namespace := manifest.Key{Kind: "Namespace", Name: "posts"}
	key := manifest.Key{Kind: "ConfigMap", Namespace: "posts", Name: "settings"}
	of := func(kind, name string) manifest.Key { return manifest.Key{Group: admission, Kind: kind, Name: name} }
	for _, test := range []struct {
		name, text string
		want       []manifest.Key
	}{
		{"a policy", `configmaps "settings" is forbidden: ValidatingAdmissionPolicy 'no-latest' with binding 'no-latest.all' denied request: no`,
			[]manifest.Key{of("ValidatingAdmissionPolicy", "no-latest"), of("ValidatingAdmissionPolicyBinding", "no-latest.all"), namespace}},
		{"a policy that is wrong", `configmaps "settings" is forbidden: ValidatingAdmissionPolicy 'wrong' denied request: no`,
			[]manifest.Key{of("ValidatingAdmissionPolicy", "wrong"), namespace}},
		{"a policy that mutates", `configmaps "settings" is forbidden: policy 'adds' with binding 'adds-all' denied request: no params found`,
			[]manifest.Key{of("MutatingAdmissionPolicy", "adds"), of("MutatingAdmissionPolicyBinding", "adds-all"), namespace}},
		{"a webhook", `admission webhook "guard.example.com" denied the request: no`, append(slices.Clone(webhooks), namespace)},
		{"a webhook that is away", `Internal error occurred: failed calling webhook "guard.example.com": connection refused`, append(slices.Clone(webhooks), namespace)},
		{"a quota", `configmaps "settings" is forbidden: exceeded quota: few, requested: count/configmaps=1`, []manifest.Key{{Kind: "ResourceQuota", Namespace: "posts"}, namespace}},
		{"Pod Security", `pods "x" is forbidden: violates PodSecurity "baseline:latest": privileged`, []manifest.Key{namespace}},
		{"a lack of rights", `configmaps "settings" is forbidden: User "u" cannot patch resource "configmaps" in API group "" in the namespace "posts"`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: test.text}}
			if got := obstaclesOf(key, err); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
	if got := obstaclesOf(manifest.Key{Kind: "Namespace", Name: "posts"}, errors.New(`admission webhook "a" denied the request: no`)); !slices.Equal(got, webhooks) {
		t.Errorf("without a namespace: %v", got)
	}
}
