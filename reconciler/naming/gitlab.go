package naming

import (
	"crypto/sha256"
	"math/big"
	"strings"
)

// This file computes names as GitLab does, so that a pipeline and a manifest use the same text. The names are not
// unique: a_b and a-b have the same.

const (
	refSlugLength         = 63
	environmentSlugLength = 24 // a limit of OpenShift that GitLab keeps
	environmentBaseLength = 17
)

// refSlug returns CI_COMMIT_REF_SLUG, as in Gitlab::Utils.slugify.
// https://gitlab.com/gitlab-org/gitlab/-/blob/master/gems/gitlab-utils/lib/gitlab/utils.rb
func refSlug(ref string) string {
	slug := replaced(ref)
	return strings.Trim(slug[:min(len(slug), refSlugLength)], "-")
}

// environmentSlug returns CI_ENVIRONMENT_SLUG for CI_ENVIRONMENT_NAME, as in Gitlab::Slug::Environment.
// https://gitlab.com/gitlab-org/gitlab/-/blob/master/lib/gitlab/slug/environment.rb
func environmentSlug(name string) string {
	slug := replaced(name)
	if slug == "" || slug[0] < 'a' {
		slug = "env-" + slug
	}
	slug = squeezed(slug)
	if slug == name && len(slug) <= environmentSlugLength {
		return strings.TrimSuffix(slug, "-")
	}
	base := strings.TrimSuffix(slug[:min(len(slug), environmentBaseLength)], "-")
	return base + "-" + environmentSuffix(sha256.Sum256([]byte(name)))
}

// environmentSuffix returns the end of the digest as a number to base 36.
func environmentSuffix(digest [sha256.Size]byte) string {
	number := new(big.Int).SetBytes(digest[:]).Text(36)
	return number[max(0, len(number)-suffixLength):]
}

// replaced is Ruby's downcase.gsub(/[^a-z0-9]/, '-'): a dash for each character, not for each byte. Outside ASCII,
// two characters have an ASCII letter as their lower case.
func replaced(text string) string {
	var slug strings.Builder
	for _, c := range text {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			slug.WriteRune(c)
		case 'A' <= c && c <= 'Z':
			slug.WriteRune(c - 'A' + 'a')
		case c == '\u212a': // the sign for kelvin
			slug.WriteByte('k')
		case c == '\u0130': // I with a dot, whose lower case is an i and a combining dot
			slug.WriteString("i-")
		default:
			slug.WriteByte('-')
		}
	}
	return slug.String()
}

// squeezed is Ruby's squeeze('-'): one dash for each run of them.
func squeezed(text string) string {
	var slug strings.Builder
	for i := range len(text) {
		if text[i] != '-' || i == 0 || text[i-1] != '-' {
			slug.WriteByte(text[i])
		}
	}
	return slug.String()
}
