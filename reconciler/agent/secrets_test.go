package agent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/gittest"
)

func TestNewCredentialsAreUsedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.git.RequireBasic("berth", "right")
	w.create(w.secret("posts-git", map[string]string{"username": "berth", "password": "wrong"}))
	w.follow(func(r *v1alpha1.Repository) { r.Spec.SecretRef = &v1alpha1.SecretReference{Name: "posts-git"} })
	w.repositoryIs(v1alpha1.ReasonUnauthorized)
	w.setSecret("posts-git", "password", "right")
	w.healthy("main")

	w.git.RequireBasic("berth", "newer")
	w.poll()
	w.repositoryIs(v1alpha1.ReasonUnauthorized)
	w.healthy("main")
	w.setSecret("posts-git", "password", "newer")
	w.repositoryIs(v1alpha1.ReasonWatching)

	if err := w.client.Delete(t.Context(), w.secret("posts-git", nil)); err != nil {
		t.Fatal(err)
	}
	w.repositoryIs(v1alpha1.ReasonUnauthorized)
	w.create(w.secret("posts-git", map[string]string{"username": "berth", "password": "newer"}))
	w.repositoryIs(v1alpha1.ReasonWatching)
}

func TestSecretsAreCopied(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0", "own")
	w.code.Change("own", "bring one", gittest.Write("infra/k8s/pull.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: pull}\ndata: {from: Z2l0}\n"))
	w.follow(func(r *v1alpha1.Repository) {
		r.Spec.Environments[1].CopySecrets = []v1alpha1.SecretReference{{Name: "pull"}}
	})
	if message := w.becomes("f0", v1alpha1.ReasonFailed); message == "" || w.space("f0") != nil {
		t.Errorf("without the Secret the environment says %q", message)
	}
	w.create(w.secret("pull", map[string]string{"from": "agent"}))
	w.healthy("main", "f0", "own")
	for branch, want := range map[string]string{"f0": "agent", "own": "git", "main": ""} {
		if got := w.copied(branch); got != want {
			t.Errorf("the Secret of %s is from %q, want %q", branch, got, want)
		}
	}
	w.setSecret("pull", "from", "rotation")
	w.eventually("the copy is rotated", func() bool { return w.copied("f0") == "rotation" })
	if got := w.copied("own"); got != "git" {
		t.Errorf("the branch's own Secret is now from %q", got)
	}

	if err := w.client.Delete(t.Context(), w.secret("pull", nil)); err != nil {
		t.Fatal(err)
	}
	w.becomes("f0", v1alpha1.ReasonFailed)
	w.restart()
	w.becomes("f0", v1alpha1.ReasonFailed)
	if got := w.copied("f0"); got != "rotation" {
		t.Errorf("when the original is lost, the copy is from %q", got)
	}
	w.changeRepository(func(r *v1alpha1.Repository) { r.Spec.Environments[1].CopySecrets = nil })
	w.eventually("the copy is pruned", func() bool { return w.copied("f0") == "" })
	w.healthy("f0", "own")
}

func (w *world) secret(name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace}, StringData: data}
}

func (w *world) setSecret(name, key, value string) {
	w.t.Helper()
	change(w, &corev1.Secret{}, name, func(s *corev1.Secret) { s.Data[key] = []byte(value) })
}

// copied returns the origin of a branch's Secret, or "" if it has none.
func (w *world) copied(branch string) string {
	w.t.Helper()
	secret := &corev1.Secret{}
	err := w.client.Get(w.t.Context(), types.NamespacedName{Namespace: w.space(branch).Name, Name: "pull"}, secret)
	if err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
	return string(secret.Data["from"])
}

func (w *world) repositoryIs(reason string) {
	w.t.Helper()
	w.eventually("the repository is "+reason, func() bool {
		ready := meta.FindStatusCondition(w.repository().Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == reason
	})
}
