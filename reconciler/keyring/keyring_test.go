package keyring

import (
	"context"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/secrets"
)

// example is the application whose Secrets are encrypted, each entry's for its own key.
const example = "../../examples/posts/"

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ring returns a Keyring over one Secret that a test can change.
func ring(t *testing.T, secret *corev1.Secret) *Keyring {
	t.Helper()
	workers := secrets.NewWorkers(secrets.WorkersConfig{Command: []string{sopstest.Worker(t)}})
	t.Cleanup(workers.Close)
	return New(Config{
		Read: func(_ context.Context, name types.NamespacedName) (*corev1.Secret, error) {
			if name.Name != secret.Name {
				return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name.Name)
			}
			return secret, nil
		},
		Workers: workers,
	})
}

func keySecret(version, entry string, key []byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "berth", Name: "keys", ResourceVersion: version}, Data: map[string][]byte{entry: key}}
}

func TestKeysFollowTheirSecret(t *testing.T) {
	review, production := read(t, example+"berth/demo-keys/review.agekey"), read(t, example+"berth/demo-keys/production.agekey")
	file := read(t, example+"infra/production/secret.yaml")
	secret := keySecret("1", "age.agekey", review)
	k, name := ring(t, secret), &types.NamespacedName{Namespace: "berth", Name: "keys"}

	first, digest, err := k.Decrypter(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Open(t.Context(), "secret.yaml", file); err == nil || !strings.Contains(err.Error(), "sops updatekeys") {
		t.Errorf("production's file with review's key: %v", err)
	}
	if again, _, _ := k.Decrypter(t.Context(), name, nil); again != first {
		t.Error("the same Secret was read twice")
	}
	*secret = *keySecret("2", "age.agekey", production)
	second, other, err := k.Decrypter(t.Context(), name, nil)
	if err != nil || other == digest {
		t.Fatalf("after a rotation the digest is %q, was %q: %v", other, digest, err)
	}
	if plain, err := second.Open(t.Context(), "secret.yaml", file); err != nil || !strings.Contains(string(plain.Content), "production-password") {
		t.Errorf("production's file with production's key: %v", err)
	}
}

func TestKeysOfASecretThatIsGoneAreForgotten(t *testing.T) {
	secret := keySecret("1", "age.agekey", read(t, example+"berth/demo-keys/review.agekey"))
	k, name := ring(t, secret), &types.NamespacedName{Namespace: "berth", Name: "keys"}
	if _, _, err := k.Decrypter(t.Context(), name, nil); err != nil || len(k.kept) != 1 {
		t.Fatalf("%d are kept: %v", len(k.kept), err)
	}
	k.Read = func(context.Context, types.NamespacedName) (*corev1.Secret, error) {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, "keys")
	}
	if _, _, err := k.Decrypter(t.Context(), name, nil); err == nil || len(k.kept) != 0 {
		t.Errorf("%d are kept, and the error is %v", len(k.kept), err)
	}
}

func TestKeysThatCannotBeHad(t *testing.T) {
	for _, test := range []struct {
		reason, name string
		secret       *corev1.Secret
		want         string
	}{
		{"no Secret", "other", keySecret("1", "a.agekey", nil), "does not exist; create it with the keys, as in: kubectl create secret generic other -n berth --from-file=age.agekey"},
		{"another entry", "keys", keySecret("1", "age.key", []byte("x")), "does not hold keys: there is no key: entries are named *.agekey"},
		{"no key in it", "keys", keySecret("1", "a.agekey", []byte("AGE-SECRET-KEY-hunter2")), `does not hold keys: reading key entry "a.agekey"`},
	} {
		t.Run(test.reason, func(t *testing.T) {
			_, _, err := ring(t, test.secret).Decrypter(t.Context(), &types.NamespacedName{Namespace: "berth", Name: test.name}, nil)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// An entry without keys learns whom a file is encrypted for.
func TestWithoutKeys(t *testing.T) {
	d, digest, err := ring(t, keySecret("1", "a.agekey", nil)).Decrypter(t.Context(), nil, nil)
	if err != nil || digest != "" {
		t.Fatal(digest, err)
	}
	_, err = d.Open(t.Context(), "secret.yaml", read(t, example+"infra/review/secret.yaml"))
	if err == nil || !strings.Contains(err.Error(), "age14r0see") || strings.Contains(err.Error(), "available keys are") {
		t.Errorf("got %v", err)
	}
}
