package render

import (
	"slices"
	"strings"
)

// exposure knows what was decrypted, and what stands in plain all the same, so that it is no secret.
type exposure struct {
	secrets []string
	plain   []string
}

// longText is from where on a text hardly stands within another by chance.
const longText = 8

// decrypted notes the plain text of a file. Of values with several lines each counts by itself, since
// formats indent them.
func (e *exposure) decrypted(content []byte, values []string) {
	e.secrets = append(e.secrets, strings.TrimSpace(string(content)))
	for _, value := range values {
		e.secrets = append(e.secrets, value)
		if !strings.Contains(value, "\n") {
			continue
		}
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); len(line) >= longText {
				e.secrets = append(e.secrets, line)
			}
		}
	}
}

// inPlain notes what anybody who sees the commit or the Repository can read.
func (e *exposure) inPlain(text string) { e.plain = append(e.plain, text) }

// settle leaves only those secrets that stand nowhere in plain.
func (e *exposure) settle() {
	slices.Sort(e.secrets)
	e.secrets = slices.DeleteFunc(slices.Compact(e.secrets), func(secret string) bool { return secret == "" })
	for h := range haystacks(e.plain, len(e.secrets)) {
		e.secrets = slices.DeleteFunc(e.secrets, h.has)
	}
	e.plain = nil
}

// maxLeaks bounds how many secrets are looked for in every object by itself, once they are known to stand in some.
const maxLeaks = 100

// leaks returns secrets that stand in texts, enough of them to have something to name.
func (e *exposure) leaks(texts []string) []string {
	var found []string
	for h := range haystacks(texts, len(e.secrets)) {
		for _, secret := range e.secrets {
			if h.exposes(secret) {
				found = append(found, secret)
			}
			if len(found) == maxLeaks {
				return found
			}
		}
	}
	return found
}

// concealed takes out the objects that hold what was decrypted and may not.
func (r *renderer) concealed(objects []checker) []checker {
	var texts []string
	for _, c := range objects {
		if len(r.exposure.secrets) > 0 && !r.mayHold(c.content) {
			placeOf(c.content, func(text string) bool { texts = append(texts, text); return false })
		}
	}
	leaks := r.exposure.leaks(texts)
	if len(leaks) == 0 {
		return objects
	}
	return slices.DeleteFunc(objects, func(c checker) bool {
		path := placeOf(c.content, func(text string) bool { return slices.ContainsFunc(leaks, haystack{text: text}.exposes) })
		if path == nil || r.mayHold(c.content) {
			return false
		}
		kind, _ := c.content["kind"].(string)
		r.problems.add(c.fail(path, strings.Join(path, ".")+" holds what was decrypted, and in the cluster anybody who may read a "+kind+" could read it",
			"generate a Secret instead, or have "+kind+" added to the entry's decryption.kinds"))
		return true
	})
}
