package agent

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source"
)

func TestGitCredentials(t *testing.T) {
	entries := func(pairs ...string) map[string][]byte {
		data := map[string][]byte{}
		for i := 0; i < len(pairs); i += 2 {
			data[pairs[i]] = []byte(pairs[i+1])
		}
		return data
	}
	for _, test := range []struct {
		name string
		data map[string][]byte // nil: no Secret
		want source.Credentials
		says string
	}{
		{name: "a user and a password", data: entries("username", "berth", "password", "secret"), want: source.Credentials{Username: "berth", Password: "secret"}},
		{name: "the line's end of echo", data: entries("username", "berth\r\n", "bearerToken", "secret\n"), want: source.Credentials{Username: "berth", BearerToken: "secret"}},
		{name: "no Secret", says: "there is no such Secret in the namespace berth"},
		{name: "entries of other names", data: entries("user", "berth", "token", "secret"), says: "it has none of the entries username, password, bearerToken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := fake.NewClientBuilder()
			if test.data != nil {
				c = c.WithObjects(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "berth", Name: "posts-git"}, Data: test.data})
			}
			repo := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: "berth", Name: "posts"}}
			repo.Spec.SecretRef = &v1alpha1.SecretReference{Name: "posts-git"}
			got, err := GitCredentials(c.Build())(t.Context(), repo)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) || source.ReasonOf(err) != source.Unauthorized {
					t.Errorf("got %v, want %q", err, test.says)
				}
				return
			}
			if err != nil || got.Username != test.want.Username || got.Password != test.want.Password || got.BearerToken != test.want.BearerToken {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
