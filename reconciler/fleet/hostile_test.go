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
	f := New(Config{Used: func(context.Context) (map[string]bool, error) { return map[string]bool{"used": true}, nil }})
	for name, test := range map[string]struct {
		secret metav1.ObjectMeta
		want   bool
	}{
		"an entry names it":                  {metav1.ObjectMeta{Name: "used"}, true},
		"berth cluster add has created it":   {metav1.ObjectMeta{Name: "new", Labels: map[string]string{remote.Label: "true"}}, true},
		"it has nothing to do with clusters": {metav1.ObjectMeta{Name: "other"}, false},
	} {
		if got := f.Holds(t.Context(), &corev1.Secret{ObjectMeta: test.secret}); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
