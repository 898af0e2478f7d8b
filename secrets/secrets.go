// Package secrets decrypts SOPS files in memory, only with the keys that its caller provides. The SOPS library runs in
// worker processes, each with the keys of one entry. This package checks a file before a worker reads it.
package secrets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
)

// Config configures a Decrypter.
type Config struct {
	// Keys may be nil. Then every file is refused, and the error names its recipients.
	Keys *Keys
	// Remote lists the remote keys that files may use; the zero value allows none.
	Remote Remote
	// Identity authenticates to the remote keys that Remote lists and for which Keys has no credentials. It allows
	// these files everything that the agent may do with those keys. Nil means no such authentication.
	Identity *Identity
	// Cache is shared by all Decrypters; nil disables caching.
	Cache *Cache
	// Workers decrypt, and all Decrypters share them. Without keys, Workers may be nil.
	Workers *Workers
}

// Decrypter decrypts the files of one entry of a Repository. It is safe for concurrent use.
type Decrypter struct {
	keys     *Keys
	remote   Remote
	identity *Identity
	cache    *Cache
	workers  *Workers
	// scope identifies everything except the file that a result depends on.
	scope string
}

// New returns a Decrypter.
func New(c Config) *Decrypter {
	d := &Decrypter{keys: c.Keys, remote: c.Remote, identity: c.Identity, cache: c.Cache, workers: c.Workers}
	if d.keys == nil {
		d.keys = &Keys{}
	}
	d.scope = fmt.Sprintf("%s %q %t", d.keys.Digest(), c.Remote, c.Identity != nil)
	return d
}

// Plain is a decrypted file.
type Plain struct {
	// Content is the decrypted file in its format.
	Content []byte
	// Veiled is the same file, with a placeholder of letters and digits for every value that was encrypted, except
	// empty ones.
	Veiled []byte
	// Values maps the placeholders to their values, which must not appear where people can read them.
	Values map[string]Value
}

// Value is a decrypted value.
type Value struct {
	// Text is the value as written in Content, without the quotes of YAML and JSON.
	Text string
	// Tag is the YAML tag of a value that is not a string, such as !!int.
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
func (d *Decrypter) Decrypt(ctx context.Context, file string, content []byte) ([]byte, error) {
	plain, err := d.Open(ctx, file, content)
	return plain.Content, err
}

// Open decrypts an encrypted file (see Encrypted). The result is the output of SOPS, without comments. In a YAML file
// with several documents, unencrypted ones stay unchanged, byte for byte. All documents begin at their original lines
// unless an earlier one has grown. Every error is an *Error, or that of ctx. The caller owns the result.
func (d *Decrypter) Open(ctx context.Context, file string, content []byte) (Plain, error) {
	if d.cache == nil {
		return d.open(ctx, file, content)
	}
	// The name of the file is part of the key because it decides the format, and because errors name the caller's own
	// file.
	key := sha256.New()
	fmt.Fprintf(key, "%q %q ", d.scope, file)
	key.Write(content)
	plain, err := d.cache.get(ctx, cacheKey(key.Sum(nil)), func() (Plain, error) { return d.open(ctx, file, content) })
	return Plain{bytes.Clone(plain.Content), bytes.Clone(plain.Veiled), maps.Clone(plain.Values)}, err
}

func (d *Decrypter) open(ctx context.Context, file string, content []byte) (Plain, error) {
	plain, err := d.opened(ctx, file, content)
	switch {
	case ctx.Err() != nil:
		return Plain{}, ctx.Err()
	case err != nil:
		return Plain{}, d.explained(err, file)
	}
	return plain, nil
}

func (d *Decrypter) opened(ctx context.Context, file string, content []byte) (Plain, error) {
	plain := Plain{Values: map[string]Value{}}
	parts, err := read(file, content)
	if err != nil {
		return plain, err
	}
	contents, veiled := map[int][]byte{}, map[int][]byte{}
	for _, p := range parts.encrypted {
		unsealed, err := d.unseal(ctx, p)
		if err != nil {
			if len(p.documents) > 0 {
				err = inDocument(err, p.documents[0], len(parts.documents))
			}
			return plain, err
		}
		maps.Copy(plain.Values, unsealed.Values)
		if len(parts.documents) == 0 {
			plain.Content, plain.Veiled = unsealed.Documents[0].Content, unsealed.Documents[0].Veiled
			return plain, nil
		}
		for i, number := range p.documents {
			contents[number], veiled[number] = unsealed.Documents[i].Content, unsealed.Documents[i].Veiled
		}
	}
	plain.Content, plain.Veiled = parts.joined(contents), parts.joined(veiled)
	return plain, nil
}

// unseal lets a worker decrypt a part, if the checks permit it.
func (d *Decrypter) unseal(ctx context.Context, p part) (Unsealed, error) {
	unsealed, err := Unsealed{}, d.permit(p.metadata)
	if err == nil {
		unsealed, err = d.workers.unseal(ctx, d.grant(), p.Sealed)
	}
	if want := max(len(p.documents), 1); err == nil && len(unsealed.Documents) != want {
		err = malformed("SOPS finds a different number of documents in it")
	}
	var e *Error
	if errors.As(err, &e) {
		e.Recipients = p.metadata.recipients()
	}
	return unsealed, err
}

// permit refuses a file that no available key can decrypt, before a worker sees it. Each needed group must have a
// recipient worth an attempt. The worker checks remote keys again, as SOPS reads them.
func (d *Decrypter) permit(m metadata) error {
	if m.mac == "" {
		return &Error{Reason: Unauthenticated}
	}
	worst := &Error{Reason: NoKey}
	for _, group := range m.groups {
		for _, r := range group {
			err := d.permits(r)
			if err == nil {
				return nil
			}
			worst = Graver(worst, err)
		}
	}
	return worst
}

func (d *Decrypter) permits(r recipient) *Error {
	switch r.kind {
	case KindAge, KindPGP:
		if r.kind == KindAge && len(d.keys.held.Age) > 0 || r.kind == KindPGP && len(d.keys.held.PGP) > 0 {
			return nil
		}
		return &Error{Reason: NoKey}
	case KindHuawei:
		return &Error{Reason: NotAllowed, Detail: Shortened(r.name) + " is a key of Huawei Cloud, which is not supported"}
	}
	var refused *Error
	if errors.As(d.remote.Allows(r.remote), &refused) {
		return refused
	}
	if d.keys.held.Credentials.has(r.kind) || d.identity.proves(r.kind) && (r.kind != KindVault || len(d.remote.VaultRoles(r.remote)) > 0) {
		return nil
	}
	return &Error{Reason: NoKey, Detail: "for " + Shortened(r.name) + " there are no credentials (" + entries[r.kind] + ")"}
}

// Graver returns the more informative of two errors about why a file cannot be decrypted. A service that would have the
// key comes before a missing key.
func Graver(a, b *Error) *Error {
	rank := map[Reason]int{NoKey: 1, NotAllowed: 2, Tampered: 3, Unreachable: 4}
	if a == nil || rank[b.Reason] > rank[a.Reason] || b.Reason == a.Reason && a.Detail == "" {
		return b
	}
	return a
}

// grant returns everything that a worker gets.
func (d *Decrypter) grant() grant {
	return grant{
		scope: d.scope, Keys: d.keys.entries, Remote: d.remote, Identity: d.identity,
		isLocal: !d.keys.held.Credentials.any() && d.identity == nil,
	}
}

// explained adds the facts to an error that only a Decrypter knows.
func (d *Decrypter) explained(err error, file string) error {
	e := explained(err, file, d.keys.Recipients())
	if e.Reason == NoKey && len(e.Held) == 0 && d.identity == nil {
		e.Detail = "" // no need to mention missing credentials, too
	}
	return e
}

func explained(err error, file string, held []string) *Error {
	var e *Error
	if !errors.As(err, &e) {
		e = malformed("it cannot be read")
	}
	e.File, e.Held = file, held
	return e
}
