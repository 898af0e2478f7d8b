// Package secrets decrypts SOPS documents in memory, with the keys that it is given and no others.
package secrets

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"
)

// Config says what a Decrypter works with.
type Config struct {
	// Keys may be nil: then every file is refused, with the recipients that it is encrypted for.
	Keys *Keys
	// Remote lists the remote keys that may be asked; the zero value allows none.
	Remote Remote
	// Identity asks the remote keys that Remote lists and Keys has no credentials for. Whoever passes it
	// lets these files use all that the agent may do with those keys. Nil: nothing asks them.
	Identity *Identity
	// Cache is shared by all Decrypters; nil keeps nothing.
	Cache *Cache
	// HTTPClient reaches remote keys. Nil stands for NewHTTPClient(), which is better made once. Whichever
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
	remote := &remoteService{caller: newCaller(c.HTTPClient), credentials: keys.remote, identity: c.Identity, allowed: c.Remote, now: time.Now}
	return &Decrypter{
		service: keyService{keys: keys, remote: remote},
		cache:   c.Cache,
		scope:   fmt.Sprintf("%s %q %t", keys.Digest(), c.Remote, c.Identity != nil),
	}
}

// Plain is a decrypted file.
type Plain struct {
	// Content is the file in its format.
	Content []byte
	// Veiled is the same, with a placeholder of letters and digits for every value that was encrypted, empty
	// ones aside.
	Veiled []byte
	// Values are what the placeholders stand for: what must not get where people may read.
	Values map[string]Value
}

// Value is a value that was encrypted.
type Value struct {
	// Text is the value as it stands in Content, without the quotes of YAML and JSON.
	Text string
	// Tag is the YAML tag of a value that is no text, such as !!int.
	Tag string
}

func (p Plain) size() int {
	size := len(p.Content) + len(p.Veiled)
	for placeholder, value := range p.Values {
		size += len(placeholder) + len(value.Text) + len(value.Tag)
	}
	return size
}

// Decrypt returns the plain text of an encrypted file, see Open.
func (d *Decrypter) Decrypt(file string, content []byte) ([]byte, error) {
	plain, err := d.Open(file, content)
	return plain.Content, err
}

// Open decrypts an encrypted file (see Encrypted). The result lacks SOPS' own part and all comments, but
// of a YAML file with several documents, those that are not encrypted stay as they are, byte for byte,
// and all begin on their lines unless those before them have grown. Every error is an *Error. The result
// is the caller's.
func (d *Decrypter) Open(file string, content []byte) (Plain, error) {
	if d.cache == nil {
		return d.open(file, content)
	}
	// The file's name tells formats apart and stands in errors, of which each caller wants its own.
	key := sha256.New()
	fmt.Fprintf(key, "%q %q ", d.scope, file)
	key.Write(content)
	plain, err := d.cache.get(cacheKey(key.Sum(nil)), func() (Plain, error) { return d.open(file, content) })
	return Plain{bytes.Clone(plain.Content), bytes.Clone(plain.Veiled), maps.Clone(plain.Values)}, err
}

// open contains whatever goes wrong within, panics of the libraries included.
func (d *Decrypter) open(file string, content []byte) (plain Plain, err error) {
	defer func() {
		if recover() != nil { // what it says may quote the file
			err = malformed("reading it breaks a library")
		}
		if err != nil {
			plain, err = Plain{}, d.explained(err, file)
		}
	}()
	f, single := formatOf(file, content)
	if !single {
		return d.openYAML(content)
	}
	rest, meta, err := f.parse(content)
	if err != nil {
		return plain, err
	}
	if meta == nil {
		return plain, malformed("it has encrypted values and no part that says for whom")
	}
	if err = d.openDocuments([]branch{rest}, meta); err != nil {
		return plain, err
	}
	if plain.Content, err = f.emit(rest); err != nil {
		return plain, err
	}
	plain.Values = map[string]Value{}
	veil(rest, f.value, plain.Values)
	plain.Veiled, err = f.emit(rest)
	return plain, err
}

// explained adds to an error what only a Decrypter knows.
func (d *Decrypter) explained(err error, file string) error {
	var e *Error
	if !errors.As(err, &e) {
		e = malformed("it cannot be read")
	}
	e.File = file
	e.Held = d.service.keys.Recipients()
	if e.Reason == NoKey && len(e.Held) == 0 && d.service.remote.identity == nil {
		e.Detail = "" // that there are no credentials either goes without saying
	}
	return e
}

// openDocuments decrypts what was encrypted together, in place.
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

func (d *Decrypter) openYAML(content []byte) (plain Plain, err error) {
	documents, err := parseYAML(content)
	if err != nil {
		return plain, err
	}
	groups := together(documents)
	if len(groups) == 0 {
		return plain, malformed("none of its documents has the key sops")
	}
	for _, group := range groups {
		trees := make([]branch, len(group))
		for i, number := range group {
			trees[i] = documents[number].tree
		}
		if err := d.openDocuments(trees, documents[group[0]].meta); err != nil {
			return plain, inDocument(err, group[0], len(documents))
		}
	}
	if plain.Content, err = joined(documents); err != nil {
		return plain, err
	}
	plain.Values = map[string]Value{}
	for _, document := range documents {
		document.veil(plain.Values)
	}
	plain.Veiled, err = joined(documents)
	return plain, err
}

// inDocument says which document of several an error is about.
func inDocument(err error, index, count int) error {
	var e *Error
	if errors.As(err, &e) && count > 1 {
		e.Document = index + 1
	}
	return err
}
