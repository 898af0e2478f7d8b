package naming

import (
	"crypto/sha256"
	"encoding/base32"
	"regexp"
	"strings"
)

// The algorithms of this file determine the names of users' namespaces, hosts and labels. They are frozen: changing
// one would tear down and re-create every preview.
const (
	slugLength   = 40
	suffixLength = 6
	// idLength is 130 bits of the hash. It leaves 36 of a label value's 63 characters for an installation's id.
	idLength = 26

	slugVariable = "${BRANCH_SLUG}"
)

// suffix matches the end of every slug that is not the branch itself.
var suffix = regexp.MustCompile(`-[a-z2-7]{6}$`)

// Slug returns BRANCH_SLUG: the branch as a DNS label of at most 40 characters, which no other branch has.
//
// A branch that is such a label already stays as it is. Any other branch is converted, and its slug ends with a hash
// of its ref. A branch whose name ends like such a hash gets one too, since another branch's slug could be the same.
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

// dashed returns the text in lower case, with one dash for each run of characters between letters and digits. Only
// ASCII is lower-cased, so that no version of Unicode's tables can change a slug.
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

// hash returns the SHA-256 of the text in lower-case base32, without padding.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// Namespace returns the namespace that an entry's template names for a branch. It is a DNS label if the API server
// accepts the template.
func Namespace(template, branch string) string {
	return strings.ReplaceAll(template, slugVariable, Slug(branch))
}

// Environment returns the name of the Environment of a branch: <repository>.<entry>.<slug>.
func Environment(repository, entry, branch string) string {
	return repository + "." + entry + "." + Slug(branch)
}

// ID returns the value of the label berth.dev/environment on everything that belongs to an Environment:
// <installation>.<hash>. It is a valid label value if installation is one of at most 36 characters.
func ID(installation, repository, entry, branch string) string {
	// No part can hold a NUL, so no two environments produce the same text.
	return installation + "." + hash(repository + "\x00" + entry + "\x00" + branch)[:idLength]
}
