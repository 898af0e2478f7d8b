package fleet

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/reconciler/remote"
)

// A status is cut at its end, where it says what users can do about the cluster.
func TestTheWordsOfAServerAreBounded(t *testing.T) {
	for _, err := range []error{
		apierrors.NewUnauthorized(strings.Repeat("é\n\x1b[31m", 1000)),
		errors.New(strings.Repeat("é\n\x1b[31m", 1000)),
	} {
		text := outage{since: time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC), cause: causeOf(err)}.text("staging", err)
		if len(text) > 600 || strings.ContainsAny(text, "\n\x1b") || text != strings.ToValidUTF8(text, "?") {
			t.Errorf("users see %d bytes: %q", len(text), text)
		}
	}
}

// A branch must not read a kubeconfig either before the first entry names its cluster.
func TestASecretOfAClusterThatNothingUsesYet(t *testing.T) {
	looks := 0 // at all Environments
	f := New(Config{
		Named: func(context.Context) (map[string]bool, error) { return map[string]bool{"named": true}, nil },
		Used: func(context.Context) (map[string]bool, error) {
			looks++
			return map[string]bool{"named": true, "used": true}, nil
		},
	})
	for name, test := range map[string]struct {
		secret metav1.ObjectMeta
		key    string
		want   bool
		looks  int
	}{
		"an entry names it":                  {metav1.ObjectMeta{Name: "named"}, "config", true, 0},
		"only an Environment is still there": {metav1.ObjectMeta{Name: "used"}, "kubeconfig", true, 1},
		"berth cluster add has created it":   {metav1.ObjectMeta{Name: "new", Labels: map[string]string{remote.Label: "true"}}, "value", true, 0},
		"it has nothing to do with clusters": {metav1.ObjectMeta{Name: "other"}, "value", false, 1},
		"it is a pull secret":                {metav1.ObjectMeta{Name: "pull"}, corev1.DockerConfigJsonKey, false, 0},
	} {
		looks = 0
		secret := &corev1.Secret{ObjectMeta: test.secret, Data: map[string][]byte{test.key: nil}}
		if got := f.Holds(t.Context(), secret); got != test.want || looks != test.looks {
			t.Errorf("%s: %t, after %d looks at all Environments", name, got, looks)
		}
	}
}
