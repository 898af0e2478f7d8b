package naming

import (
	"crypto/sha256"
	"encoding/base32"
	"regexp"
	"strings"
)

// The algorithms of this file live in the names of users' namespaces, hosts and labels. They are frozen: a
// change of any of them would tear down and rebuild every preview there is.
const (
	slugLength   = 40
	suffixLength = 6
	// idLength is 130 bits of the hash, and leaves an installation's id 36 of a label value's 63 characters.
	idLength = 26

	slugVariable = "${BRANCH_SLUG}"
)

// suffix is what the slug of a branch ends with that is not its own slug.
var suffix = regexp.MustCompile(`-[a-z2-7]{6}$`)

// Slug is BRANCH_SLUG: the branch as a DNS label of at most 40 characters, unlike that of any other branch.
//
// A branch that is such a label already stays as it is. Any other is made one, and gets a hash of its ref as
// its end; so does one that ends as if it had such a hash, since another branch's slug could be the same.
func Slug(branch string) string {
	slug := dashed(branch)
	if slug == branch && slug != "" && len(slug) <= slugLength && !suffix.MatchString(slug) {
		return slug
	}
	base := strings.TrimRight(slug[:min(len(slug), slugLength-suffixLength-1)], "-")
	if base == "" {
		base = "b" // a bare hash could be another branch's own slug
	}
	return base + "-" + hash("refs/heads/" + branch)[:suffixLength]
}

// dashed is the text in lower case, with one dash for each run of other characters than letters and digits
// between them. Only ASCII is lower-cased, so that no version of Unicode's tables can change a slug.
func dashed(text string) string {
	var slug strings.Builder
	pending := false
	for i := range len(text) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if !isLetterOrDigit(c) {
			pending = slug.Len() > 0
			continue
		}
		if pending {
			slug.WriteByte('-')
			pending = false
		}
		slug.WriteByte(c)
	}
	return slug.String()
}

func isLetterOrDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
}

// hash is the SHA-256 of the text in lower-case base32, without padding.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// Namespace is the namespace that an entry's template names for a branch. It is a DNS label if the template
// is one that the API server accepts.
func Namespace(template, branch string) string {
	return strings.ReplaceAll(template, slugVariable, Slug(branch))
}

// Environment is the name of the Environment of a branch: <repository>.<entry>.<slug>.
func Environment(repository, entry, branch string) string {
	return repository + "." + entry + "." + Slug(branch)
}

// ID is the value of the label berth.dev/environment on everything that belongs to an Environment:
// <installation>.<hash>. It is a valid label value if installation is one of at most 36 characters.
func ID(installation, repository, entry, branch string) string {
	// No part can hold a NUL, so no two environments have the same text.
	return installation + "." + hash(repository + "\x00" + entry + "\x00" + branch)[:idLength]
}
