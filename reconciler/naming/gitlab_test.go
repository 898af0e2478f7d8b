package naming

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
)

func TestRefSlug(t *testing.T) {
	cases := map[string]string{
		"main":                           "main",
		"TEST":                           "test",
		"project_with_underscores":       "project-with-underscores",
		"namespace/project":              "namespace-project",
		"a/b//c":                         "a-b--c", // not squeezed
		"-a-":                            "a",
		"--a--":                          "a",
		strings.Repeat("a", 70):          strings.Repeat("a", 63),
		strings.Repeat("a", 62) + "-b":   strings.Repeat("a", 62),
		"test-ä-日":                       "test",
		"ä1":                             "1",
		"1日2":                            "1-2", // a dash for a character, not for each of its bytes
		"\u212aelvin":                    "kelvin",
		"\u0130zmir":                     "i-zmir",
		"":                               "",
		"renovate/golang.org-x-crypto-0": "renovate-golang-org-x-crypto-0",
	}
	for ref, want := range cases {
		if got := refSlug(ref); got != want {
			t.Errorf("refSlug(%q) = %q, want %q", ref, got, want)
		}
	}
}

// The names are those of GitLab's own specification of its slugs, which stubs the digest. Here the suffixes are the
// real ones, computed with another implementation.
func TestEnvironmentSlug(t *testing.T) {
	cases := map[string]string{
		"staging-12345678901234567": "staging-123456789-s729ne",
		"9-staging-123456789012345": "env-9-staging-123-f6hm7j",
		"staging-1234567890123456":  "staging-1234567890123456",
		"staging-1234567890123456-": "staging-123456789-y52hkh",
		"production":                "production",
		"PRODUCTION":                "production-vl4voz",
		"review/1-foo":              "review-1-foo-9tdj0u",
		"1-foo":                     "env-1-foo-1k46wz",
		"foo-":                      "foo",
		"foo--bar":                  "foo-bar-q006cp",
		"foo**bar":                  "foo-bar-3jfdn1",
		"*-foo":                     "env-foo-i1o6om",
		"staging-12345678-":         "staging-12345678",
		"staging-12345678-01234567": "staging-12345678-f21q2q",
		"":                          "env-qhkd3p",
	}
	for name, want := range cases {
		if got := environmentSlug(name); got != want {
			t.Errorf("environmentSlug(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestEnvironmentSuffixAsInGitLabsSpecification(t *testing.T) {
	digest := [sha256.Size]byte(bytes.Repeat([]byte{0xaa}, sha256.Size))
	if got := environmentSuffix(digest); got != "q517sa" {
		t.Errorf("the suffix for the digest of 64 times a = %q, want q517sa", got)
	}
}
