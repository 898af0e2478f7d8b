package secrets

import (
	"crypto/sha512"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxDepth bounds how deep values may nest: a stack that overflows ends the process.
const maxDepth = 100

// A branch is a mapping in the order of its file. Comments stand among its items, since they may say
// what is encrypted.
type branch []item

type item struct {
	comment bool
	// key is that of a value, or the text of a comment.
	key string
	// value is a branch, a sequence, a *leaf, or nil for a null, which SOPS neither encrypts nor counts.
	value any
}

// A sequence holds branches, sequences, leaves, nulls, and comments.
type sequence []any

type comment string

// dropped is an item of a sequence that turned out to be a comment: SOPS encrypts those as if they were items.
type dropped struct{}

// leaf is a scalar.
type leaf struct {
	// value is a string, int, float64, bool or time.Time: the types that SOPS knows.
	value any
	// source is what the value was read from; the format that made it knows the type.
	source any
	// opened says that value was encrypted.
	opened bool
	// placeholder stands for an opened value in Plain.Veiled; an empty text needs none.
	placeholder string
}

// rule says which values of a file are encrypted: those below a key, or after a comment, that matches.
type rule struct {
	suffix  string
	regex   *regexp.Regexp
	comment *regexp.Regexp
	// plain turns the rule around: what matches is not encrypted.
	plain bool
}

// names says whether the rule is about what stands below a key.
func (r rule) names(key string) bool {
	switch {
	case r.comment != nil:
		return false
	case r.regex != nil:
		return r.regex.MatchString(key)
	}
	return strings.HasSuffix(key, r.suffix)
}

// namesAfter says whether the rule is about the value after a comment.
func (r rule) namesAfter(comment string) bool {
	return r.comment != nil && r.comment.MatchString(comment)
}

// macOnlyEncrypted begins what is hashed if only encrypted values are, so that such a MAC is never one
// over all values. SOPS chose it.
var macOnlyEncrypted = []byte{
	0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0xb,
	0xb, 0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
}

// opener decrypts the values of a tree in place, and computes the MAC of what they are.
type opener struct {
	cipher cipherKey
	meta   *metadata
	mac    hash.Hash
}

// openTree decrypts the documents that share the metadata, in place, and verifies their MAC.
func openTree(documents []branch, meta *metadata, key []byte) error {
	cipher, err := newCipherKey(key)
	if err != nil {
		return err
	}
	o := &opener{cipher: cipher, meta: meta, mac: sha512.New()}
	if meta.macOnlyEncrypted {
		o.mac.Write(macOnlyEncrypted)
	}
	for _, document := range documents {
		if err := o.branch(document, place{}); err != nil {
			return err
		}
	}
	return o.verify()
}

func (o *opener) verify() error {
	if o.meta.mac == "" {
		return &Error{Reason: Unauthenticated}
	}
	want, kind, err := o.cipher.open(o.meta.mac, o.meta.lastModified.Format(time.RFC3339))
	if err != nil || kind != "str" {
		return tampered("its MAC does not belong to this file and its lastmodified")
	}
	if want != fmt.Sprintf("%X", o.mac.Sum(nil)) {
		return tampered("its values do not match its MAC")
	}
	return nil
}

// place is where a value stands.
type place struct {
	path  []string
	depth int
	// named says that the rule names a key that leads here, or a comment before one.
	named bool
}

// maxKey bounds how long a key may be, since all that lead to a value are authenticated with it. Those of YAML are at
// most as long, unless they are written with a question mark.
const maxKey = 1024

// branch walks in the order in which SOPS does: the MAC depends on it.
func (o *opener) branch(b branch, at place) error {
	commented := false
	for _, it := range b {
		if it.comment {
			commented = commented || o.meta.rule.namesAfter(it.key)
			continue
		}
		if len(it.key) > maxKey {
			return malformed("a key in it is longer than %d bytes: %q", maxKey, shortened(it.key))
		}
		below := place{path: append(slices.Clip(at.path), it.key), depth: at.depth + 1, named: at.named || commented || o.meta.rule.names(it.key)}
		keep, err := o.value(it.value, below)
		if err != nil {
			return err
		}
		if commented = false; !keep {
			return tampered(named(below.path) + " is a comment where a value belongs")
		}
	}
	return nil
}

func (o *opener) sequence(l sequence, at place) error {
	commented := false
	for i, it := range l {
		if c, ok := it.(comment); ok {
			commented = commented || o.meta.rule.namesAfter(string(c))
			continue
		}
		keep, err := o.value(it, place{path: at.path, depth: at.depth + 1, named: at.named || commented})
		if err != nil {
			return err
		}
		if commented = false; !keep {
			l[i] = dropped{}
		}
	}
	return nil
}

// value also says whether to keep the value.
func (o *opener) value(value any, at place) (keep bool, err error) {
	if at.depth > maxDepth {
		return false, malformed("its values nest deeper than %d levels", maxDepth)
	}
	switch value := value.(type) {
	case branch:
		return true, o.branch(value, at)
	case sequence:
		return true, o.sequence(value, at)
	case *leaf:
		return o.leaf(value, at)
	}
	return true, nil
}

func (o *opener) leaf(l *leaf, at place) (keep bool, err error) {
	encrypted := at.named != o.meta.rule.plain
	if encrypted {
		text, ok := l.value.(string)
		if !ok {
			return false, tampered(named(at.path) + " is plain where an encrypted value belongs")
		}
		plain, kind, err := o.cipher.open(text, strings.Join(at.path, ":")+":")
		if err != nil {
			return false, tampered(named(at.path) + " does not decrypt: it was changed, or moved here from elsewhere")
		}
		if kind == "comment" {
			return false, nil
		}
		if l.value, err = typed(plain, kind); err != nil {
			return false, tampered(named(at.path) + " does not have the type that it is said to have")
		}
		if l.opened = true; plain != "" {
			l.placeholder = placeholderOf(text, at.path)
		}
	}
	if encrypted || !o.meta.macOnlyEncrypted {
		text, err := hashed(l.value)
		if err != nil {
			return false, err
		}
		o.mac.Write(text)
	}
	return true, nil
}

// hashed returns the form in which SOPS hashes a value.
func hashed(value any) ([]byte, error) {
	switch value := value.(type) {
	case string:
		return []byte(value), nil
	case int:
		return strconv.AppendInt(nil, int64(value), 10), nil
	case float64:
		return strconv.AppendFloat(nil, value, 'f', -1, 64), nil
	case bool:
		if value {
			return []byte("True"), nil
		}
		return []byte("False"), nil
	case time.Time:
		return value.MarshalText()
	}
	return nil, malformed("it holds a value of a type that SOPS does not know")
}

// named names a value by the keys that lead to it, which are not secret: SOPS leaves keys as they are.
func named(path []string) string { return fmt.Sprintf("%q", shortened(strings.Join(path, "."))) }
