package feedback

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/source/forge"
)

// secrets has the entries of Secrets, by name.
type secrets map[string]map[string]string

func (s secrets) read(_ context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	entries, ok := s[name.Name]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name.Name)
	}
	secret := &corev1.Secret{Data: map[string][]byte{}}
	for key, value := range entries {
		secret.Data[key] = []byte(value)
	}
	return secret, nil
}

func TestSettings(t *testing.T) {
	app := forge.App{ID: "7", Installation: "42", Key: []byte("-----BEGIN\n")}
	appSecret := map[string]string{"githubAppID": "7\n", "githubAppInstallationID": "42", "githubAppPrivateKey": "-----BEGIN\n"}
	for _, test := range []struct {
		rule     string
		url      string
		feedback v1alpha1.Feedback
		secret   map[string]string
		git      map[string]string
		provider forge.Provider
		want     forge.Credentials
		refused  string
	}{
		{rule: "the end of a line is no part of a token", url: "https://gitlab.example.com/acme/posts.git", secret: map[string]string{"token": "right\r\n"}, provider: forge.GitLab, want: forge.Credentials{Token: "right"}},
		{rule: "the host of feedback.url says what the forge is", url: "ssh://git@git.example.com/acme/posts.git", feedback: v1alpha1.Feedback{URL: "https://codeberg.org"}, secret: map[string]string{"token": "right"}, provider: forge.Gitea, want: forge.Credentials{Token: "right"}},
		{rule: "the provider says it first", url: "https://gitlab.example.com/acme/posts.git", feedback: v1alpha1.Feedback{Provider: v1alpha1.ForgeGitHub}, secret: map[string]string{"token": "right"}, provider: forge.GitHub, want: forge.Credentials{Token: "right"}},
		{rule: "a GitHub App needs no token", url: "https://github.com/acme/posts", secret: appSecret, provider: forge.GitHub, want: forge.Credentials{App: app}},
		{rule: "it is of no use elsewhere", url: "https://gitlab.example.com/acme/posts.git", secret: appSecret, refused: "it has no entry token; add it: kubectl -n "},
		{rule: "the certificate of Git is that of the forge", url: "https://gitlab.example.com/acme/posts.git", secret: map[string]string{"token": "right"}, git: map[string]string{"ca.crt": "git's"}, provider: forge.GitLab, want: forge.Credentials{Token: "right", CA: []byte("git's")}},
		{rule: "unless the forge has its own", url: "https://gitlab.example.com/acme/posts.git", secret: map[string]string{"token": "right", "ca.crt": "the forge's"}, git: map[string]string{"ca.crt": "git's"}, provider: forge.GitLab, want: forge.Credentials{Token: "right", CA: []byte("the forge's")}},
		{rule: "the Secret does not exist", url: "https://gitlab.example.com/acme/posts.git", refused: "there is no such Secret in the namespace "},
	} {
		t.Run(test.rule, func(t *testing.T) {
			all := secrets{}
			if test.secret != nil {
				all["forge"] = test.secret
			}
			repo := apitest.Repository(func(repo *v1alpha1.Repository) {
				test.feedback.SecretRef = v1alpha1.SecretReference{Name: "forge"}
				repo.Spec.URL, repo.Spec.Feedback = test.url, &test.feedback
				if test.git != nil {
					repo.Spec.SecretRef, all["git"] = &v1alpha1.SecretReference{Name: "git"}, test.git
				}
			})
			got, err := Settings(t.Context(), all.read, repo)
			if test.refused != "" {
				if forge.ReasonOf(err) != forge.Unauthorized || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("%v, want %q", err, test.refused)
				}
				return
			}
			if diff := cmp.Diff(test.want, got.Credentials); err != nil || got.Provider != test.provider || diff != "" {
				t.Errorf("%s (%v), want %s; credentials (-want +got):\n%s", got.Provider, err, test.provider, diff)
			}
		})
	}
}
