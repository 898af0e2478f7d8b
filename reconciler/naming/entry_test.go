package naming

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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

func TestIsPreview(t *testing.T) {
	entry := func(name string, branches ...string) []v1alpha1.Entry {
		return []v1alpha1.Entry{{Name: name, Branches: list(branches...), OnRemoval: v1alpha1.RemovalDelete}}
	}
	for _, test := range []struct {
		rule    string
		entries []v1alpha1.Entry
		ends    v1alpha1.RemovalPolicy
		want    bool
	}{
		{"an entry with a pattern has previews", entry("prod", "**"), v1alpha1.RemovalOrphan, true},
		{"one that only excludes by a pattern has some, too", entry("prod", "main", "!renovate/**"), v1alpha1.RemovalOrphan, true},
		{"an entry that names its branch has none, whatever its end", entry("prod", "main"), v1alpha1.RemovalDelete, false},
		{"an environment that its entry would delete was a preview", nil, v1alpha1.RemovalDelete, true},
		{"one that its entry would leave was none", nil, v1alpha1.RemovalOrphan, false},
		{"an entry that cannot be read says nothing", entry("prod", "a b"), v1alpha1.RemovalOrphan, false},
	} {
		t.Run(test.rule, func(t *testing.T) {
			repo := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{Environments: test.entries}}
			env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Entry: "prod", Branch: "main", OnRemoval: test.ends}}
			if got := IsPreview(repo, env); got != test.want {
				t.Errorf("IsPreview is %t", got)
			}
		})
	}
}

func TestForAgent(t *testing.T) {
	repo := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{URL: "https://git.example.com/posts.git", Environments: []v1alpha1.Entry{
		{Name: "production", Agent: "east"}, {Name: "review"}, {Name: "staging", Agent: "west"}, {Name: "demo", Agent: "east"},
	}}}
	for agent, want := range map[string][]string{"": {"review"}, "east": {"production", "demo"}, "west": {"staging"}, "EAST": nil} {
		own := ForAgent(repo, agent)
		var got []string
		for _, entry := range own.Spec.Environments {
			got = append(got, entry.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" || own.Spec.URL != repo.Spec.URL {
			t.Errorf("the agent %q sees (-want +got):\n%s", agent, diff)
		}
	}
	if len(repo.Spec.Environments) != 4 {
		t.Errorf("the Repository itself has %d entries left", len(repo.Spec.Environments))
	}
}

func TestPolicyOf(t *testing.T) {
	for name, c := range map[string]struct {
		entry v1alpha1.Entry
		want  Policy
	}{
		"a branch by name":        {v1alpha1.Entry{Branches: list("main")}, Policy{}},
		"a pattern":               {v1alpha1.Entry{Branches: list("**")}, Policy{ServiceTypes: []string{"ClusterIP", "ExternalName"}, Claims: []string{}}},
		"a branch, more confined": {v1alpha1.Entry{Branches: list("main"), AllowedClaims: []v1alpha1.Claim{}, AllowedServiceTypes: []v1alpha1.ServiceType{"ClusterIP"}}, Policy{ServiceTypes: []string{"ClusterIP"}, Claims: []string{}}},
		"a pattern, less confined": {
			v1alpha1.Entry{Branches: list("**"), AllowedHosts: []string{"*.${BRANCH}.x"}, AllowedClaims: []v1alpha1.Claim{"Snippets"}, AllowedServiceTypes: []v1alpha1.ServiceType{"NodePort"}},
			Policy{Hosts: []string{"*.b.x"}, ServiceTypes: []string{"NodePort"}, Claims: []string{"Snippets"}},
		},
	} {
		patterns, err := CompilePatterns(c.entry.Branches)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, PolicyOf(&c.entry, patterns, map[string]any{"BRANCH": "b"})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
