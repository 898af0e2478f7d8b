// Package secrets decrypts SOPS documents in memory, with the keys that it is given and no others.
package secrets

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Config says what a Decrypter works with.
type Config struct {
	// Keys may be nil: then every file is refused, with the recipients that it is encrypted for.
	Keys *Keys
	// Remote lists the remote keys that may be asked; the zero value allows none.
	Remote Remote
	// Cache is shared by all Decrypters; nil keeps nothing.
	Cache *Cache
	// HTTPClient reaches remote keys. Nil stands for one that knows no proxy and no cookies. Whichever
	// it is, redirects are not followed, and calls take at most RemoteTimeout.
	HTTPClient *http.Client
}

// Decrypter decrypts the files of one entry of a Repository. It is safe for concurrent use.
type Decrypter struct {
	service keyService
	cache   *Cache
	// scope stands for all but the file that a result depends on.
	scope string
}

// New returns a Decrypter.
func New(c Config) *Decrypter {
	keys := c.Keys
	if keys == nil {
		keys = &Keys{}
	}
	return &Decrypter{
		service: keyService{keys: keys, remote: newRemoteService(keys, c.Remote, c.HTTPClient)},
		cache:   c.Cache,
		scope:   keys.Digest() + fmt.Sprintf("%q", c.Remote),
	}
}

// Decrypt returns the plain text of an encrypted file (see Encrypted), in its format, and without its
// comments if that is YAML. Of a YAML file with several documents, those without SOPS' own part stay as
// they are, byte for byte. Every error is an *Error. The result is the caller's.
func (d *Decrypter) Decrypt(file string, content []byte) ([]byte, error) {
	if d.cache == nil {
		return d.open(file, content)
	}
	// The file's name tells formats apart and stands in errors, of which each caller wants its own.
	key := sha256.New()
	fmt.Fprintf(key, "%q %q ", d.scope, file)
	key.Write(content)
	plain, err := d.cache.get(cacheKey(key.Sum(nil)), func() ([]byte, error) { return d.open(file, content) })
	return bytes.Clone(plain), err
}

// open contains whatever goes wrong within, panics of the libraries included.
func (d *Decrypter) open(file string, content []byte) (plain []byte, err error) {
	defer func() {
		if recover() != nil { // what it says may quote the file
			plain, err = nil, malformed("reading it breaks a library")
		}
		if err != nil {
			err = d.explained(err, file)
		}
	}()
	f, single := formatOf(file, content)
	if !single {
		return d.openYAML(content)
	}
	rest, meta, err := f.parse(content)
	if err != nil {
		return nil, err
	}
	if meta == nil {
		return nil, malformed("it has encrypted values and no part that says for whom")
	}
	if err := d.openDocuments([]branch{rest}, meta); err != nil {
		return nil, err
	}
	return f.emit(rest)
}

// explained adds to an error what only a Decrypter knows.
func (d *Decrypter) explained(err error, file string) error {
	var e *Error
	if !errors.As(err, &e) {
		e = malformed("it cannot be read")
	}
	e.File = file
	e.Held = d.service.keys.Recipients()
	return e
}

// openDocuments decrypts what was encrypted together.
func (d *Decrypter) openDocuments(trees []branch, meta branch) error {
	m, err := newMetadata(meta)
	if err != nil {
		return err
	}
	key, err := d.service.dataKey(m)
	if err == nil {
		err = openTree(trees, m, key)
	}
	var e *Error
	if errors.As(err, &e) {
		e.Recipients = m.recipients()
	}
	return err
}

func (d *Decrypter) openYAML(content []byte) ([]byte, error) {
	documents, err := parseYAML(content)
	if err != nil {
		return nil, err
	}
	groups := together(documents)
	if len(groups) == 0 {
		return nil, malformed("none of its documents has the key sops")
	}
	for _, group := range groups {
		trees := make([]branch, len(group))
		for i, number := range group {
			trees[i] = documents[number].tree
		}
		if err := d.openDocuments(trees, documents[group[0]].meta); err != nil {
			return nil, inDocument(err, group[0], len(documents))
		}
	}
	return joined(documents)
}

// together groups the encrypted documents of a file by the MAC that spans them: SOPS repeats its part in
// every document of a file. Documents that were encrypted apart and put into one file have other MACs.
func together(documents []*yamlDocument) [][]int {
	var groups [][]int
	byMAC := map[string]int{}
	for number, d := range documents {
		if !d.encrypted() {
			continue
		}
		mac := textIn(d.meta, "mac")
		at, ok := byMAC[mac]
		if !ok {
			at = len(groups)
			groups, byMAC[mac] = append(groups, nil), at
		}
		groups[at] = append(groups[at], number)
	}
	return groups
}

func textIn(b branch, key string) string {
	for _, it := range b {
		if l, ok := it.value.(*leaf); ok && it.key == key {
			text, _ := l.value.(string)
			return text
		}
	}
	return ""
}

// joined puts the documents together again, each on the line where it was unless those before it have
// grown.
func joined(documents []*yamlDocument) ([]byte, error) {
	var out strings.Builder
	written, read := 0, 0 // lines
	for i, d := range documents {
		text, line := d.text, read
		if d.encrypted() {
			plain, err := d.plain()
			if err != nil {
				return nil, inDocument(err, i, len(documents))
			}
			text, line = plain, max(0, d.node.Content[0].Line-1)
			if i > 0 || documentMark.MatchString(d.text) {
				text, line = "---\n"+plain, line-1
			}
		}
		if written < line {
			out.WriteString(strings.Repeat("#\n", line-written)) // empty lines might belong to a text
			written = line
		}
		out.WriteString(text)
		written += strings.Count(text, "\n")
		read += strings.Count(d.text, "\n")
	}
	return []byte(out.String()), nil
}

// inDocument says which document of several an error is about.
func inDocument(err error, index, count int) error {
	var e *Error
	if errors.As(err, &e) && count > 1 {
		e.Document = index + 1
	}
	return err
}
