package naming

import (
	"testing"

	"berth.dev/berth/api/v1alpha1"
)

func TestEntryOf(t *testing.T) {
	entry := func(name, namespace string, branches ...string) v1alpha1.Entry {
		return v1alpha1.Entry{Name: name, Namespace: namespace, Branches: list(branches...)}
	}
	review := entry("review", "posts-${BRANCH_SLUG}", "**", "!main")
	for _, test := range []struct {
		name    string
		entries []v1alpha1.Entry
		want    string
	}{
		{"its own", []v1alpha1.Entry{entry("production", "posts", "main"), review}, "review"},
		{"its own, though another has the same berth", []v1alpha1.Entry{entry("preview", review.Namespace, "**"), review}, "review"},
		{"its own, though it does not match any more", []v1alpha1.Entry{entry("review", "other", "main")}, "review"},
		{"the one that it was renamed to", []v1alpha1.Entry{entry("preview", review.Namespace, "**")}, "preview"},
		{"none in another namespace", []v1alpha1.Entry{entry("preview", "other-${BRANCH_SLUG}", "**")}, ""},
		{"none that does not match the branch", []v1alpha1.Entry{entry("preview", review.Namespace, "main")}, ""},
		{"none that cannot be read", []v1alpha1.Entry{entry("preview", review.Namespace, "a b", "**")}, ""},
		{"none", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{Environments: test.entries}}
			env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Entry: "review", Branch: "f0", Namespace: "posts-f0"}}
			got := ""
			if entry := EntryOf(repo, env); entry != nil {
				got = entry.Name
			}
			if got != test.want {
				t.Errorf("EntryOf is %q, want %q", got, test.want)
			}
		})
	}
}
