package naming

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"
)

func TestSlug(t *testing.T) {
	long := strings.Repeat("a", 40)
	cases := map[string]struct {
		branch string
		want   string
		reason string
	}{
		"its own":              {"main", "main", "a label stays as it is"},
		"its own with dashes":  {"release-1-2", "release-1-2", "a label stays as it is"},
		"its own, digits":      {"2024", "2024", "a namespace may begin with a digit"},
		"its own, longest":     {long, long, "40 characters are allowed"},
		"slash":                {"feature/login", "feature-login-hxtcaw", "a slash was lost"},
		"upper case":           {"Main", "main-qlajsk", "main is another branch"},
		"dot":                  {"v1.2", "v1-2-nstc55", "a dot was lost"},
		"one too long":         {long + "a", long[:33] + "-oqgcsq", "a character was lost"},
		"cut at a dash":        {strings.Repeat("a", 32) + "-" + strings.Repeat("b", 10), strings.Repeat("a", 32) + "-yqxomr", "no two dashes in a row"},
		"ends like a suffix":   {"fix-foobar", "fix-foobar-2lk3b2", "another branch's slug could be the same"},
		"ends not quite like":  {"fix-foo1ar", "fix-foo1ar", "no suffix has a 1 in it"},
		"doubled dash":         {"a--b", "a-b-rvi3rp", "a dash was lost"},
		"dash at the end":      {"a-", "a-hrr7dd", "a dash was lost"},
		"dash at the start":    {"-a", "a-rkogav", "a dash was lost"},
		"nothing left":         {"日本", "b-5naeb3", "a hash alone could be a branch's own slug"},
		"empty":                {"", "b-f5c6sa", "a hash alone could be a branch's own slug"},
		"letters beyond ASCII": {"Äpfel", "pfel-hxfk7e", "only ASCII is lower-cased"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Slug(c.branch); got != c.want {
				t.Errorf("Slug(%q) = %q, want %q: %s", c.branch, got, c.want, c.reason)
			}
		})
	}
}

// branches generates names that resemble slugs, so that near misses occur.
func branches() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[a-cA-C2-4/_.-]{1,8}`),
		rapid.StringMatching(`[a-c]{0,40}-[a-z2-7]{5,7}`),
		rapid.StringMatching(`[a-c/-]{30,50}`),
	)
}

func TestNoTwoBranchesShareASlug(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one := branches().Draw(t, "one")
		other := rapid.OneOf(
			branches(),
			rapid.Just(Slug(one)), // the hardest case: a branch named like another's slug
			rapid.Just(strings.ToLower(one)),
			rapid.Just(strings.ReplaceAll(one, "/", "-")),
			rapid.Just(one+"-"),
		).Draw(t, "other")
		if one != other && Slug(one) == Slug(other) {
			t.Errorf("%q and %q share the slug %q", one, other, Slug(one))
		}
	})
}

func TestDerivedNamesAreValid(t *testing.T) {
	name := rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?`) // two of these have at most 21 characters
	rapid.Check(t, func(t *rapid.T) {
		branch, repository, entry := branches().Draw(t, "branch"), name.Draw(t, "repository"), name.Draw(t, "entry")
		installation := rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,34}[a-z0-9])?`).Draw(t, "installation")
		valid(t, "slug", Slug(branch), validation.IsDNS1123Label)
		valid(t, "namespace", Namespace("a12345678901-${BRANCH_SLUG}-234567890", branch), validation.IsDNS1123Label)
		valid(t, "environment", Environment(repository, entry, branch), validation.IsDNS1123Subdomain)
		valid(t, "environment", Environment(repository, entry, branch), validation.IsValidLabelValue)
		valid(t, "id", ID(installation, repository, entry, branch), validation.IsValidLabelValue)
		if len(Slug(branch)) > max(len([]rune(branch))+7, 8) {
			t.Errorf("the slug %q is longer than the validation of a Repository expects for %q", Slug(branch), branch)
		}
	})
}

func valid(t *rapid.T, what, value string, check func(string) []string) {
	t.Helper()
	if faults := check(value); len(faults) > 0 {
		t.Errorf("%s %q: %s", what, value, faults[0])
	}
}

func TestIDTellsEnvironmentsApart(t *testing.T) {
	ids := map[string]bool{}
	for _, id := range []string{
		ID("i", "posts", "review", "main"),
		ID("j", "posts", "review", "main"),
		ID("i", "posts-review", "main", ""),
		ID("i", "posts", "review", "Main"),
		ID("i", "postsr", "eview", "main"),
	} {
		ids[id] = true
	}
	if len(ids) != 5 {
		t.Errorf("5 environments have %d ids: %v", len(ids), ids)
	}
	if got, want := ID("i", "posts", "review", "main"), "i.nmq6din5q4q2k7np3kdglwpuhs"; got != want {
		t.Errorf("ID = %q, want %q: ids live in users' clusters and must not change", got, want)
	}
}

func FuzzSlug(f *testing.F) {
	for _, branch := range []string{"main", "feature/login", "fix-foobar", "", "日本", "a--b", strings.Repeat("a", 41), "\xff"} {
		f.Add(branch)
	}
	f.Fuzz(func(t *testing.T, branch string) {
		slug := Slug(branch)
		if faults := validation.IsDNS1123Label(slug); len(faults) > 0 || len(slug) > slugLength {
			t.Errorf("Slug(%q) = %q: %v", branch, slug, faults)
		}
		if slug != branch && (!suffix.MatchString(slug) || Slug(slug) == slug) {
			t.Errorf("Slug(%q) = %q, which the branch of that name has too", branch, slug)
		}
		if faults := validation.IsDNS1123Label(environmentSlug(branch)); len(faults) > 0 {
			t.Errorf("environmentSlug(%q) = %q: %v", branch, environmentSlug(branch), faults)
		}
	})
}
