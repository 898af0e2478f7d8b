package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"

	"berth.dev/berth/secrets"
)

// engine decrypts files with the keys of one grant.
type engine struct {
	ctx  context.Context
	keys *keyService
}

func newEngine(ctx context.Context, g secrets.Grant, n *network) (*engine, error) {
	return &engine{ctx: ctx, keys: newKeyService(g, n)}, nil
}

// order is the order in which the keys of a group are tried: those without a network first.
var order = []string{"age", "pgp", "hc_vault", "kms", "gcp_kms", "azure_kv"}

func storeOf(f secrets.Format) sops.Store {
	switch f {
	case secrets.JSON:
		return json.NewStore(&config.JSONStoreConfig{Indent: -1})
	case secrets.Binary:
		return json.NewBinaryStore(&config.JSONBinaryStoreConfig{Indent: -1})
	case secrets.Dotenv:
		return dotenv.NewStore(&config.DotenvStoreConfig{})
	case secrets.INI:
		return ini.NewStore(&config.INIStoreConfig{})
	}
	return yaml.NewStore(&config.YAMLStoreConfig{Indent: 2})
}

// Unseal decrypts a file. It returns all of the file or nothing.
func (e *engine) Unseal(s secrets.Sealed) (secrets.Unsealed, error) {
	var none secrets.Unsealed
	store := storeOf(s.Format)
	tree, err := store.LoadEncryptedFile(s.Content)
	if err != nil {
		return none, unreadable(err)
	}
	key, err := e.dataKey(&tree.Metadata)
	if err != nil {
		return none, err
	}
	values := newValues(s.Format)
	if err := decrypt(tree, key, values); err != nil {
		return none, err
	}
	contents, err := emit(store, tree.Branches, s.Format)
	if err != nil {
		return none, err
	}
	// The library changes a tree in place, so the placeholders need a tree of their own.
	veiled, err := store.LoadEncryptedFile(s.Content)
	if err != nil {
		return none, err
	}
	if _, err := veiled.Decrypt(key, veil{values}); err != nil {
		return none, err
	}
	shown, err := emit(store, veiled.Branches, s.Format)
	if err != nil || len(shown) != len(contents) {
		return none, errors.Join(err, errors.New("the documents do not match"))
	}
	unsealed := secrets.Unsealed{Values: values.written}
	for i := range contents {
		unsealed.Documents = append(unsealed.Documents, secrets.Document{Content: contents[i], Veiled: shown[i]})
	}
	return unsealed, nil
}

func (e *engine) dataKey(m *sops.Metadata) ([]byte, error) {
	if len(m.KeyGroups) > 1 && m.ShamirThreshold == 0 {
		m.ShamirThreshold = len(m.KeyGroups) // the library would combine whatever parts exist
	}
	e.keys.begin(e.ctx)
	key, err := m.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{e.keys}, order)
	switch {
	case err == nil:
		return key, nil
	case e.keys.worst != nil:
		return nil, e.keys.worst
	}
	return nil, tampered("the parts of its data key do not fit together")
}

// decrypt decrypts a tree in place and verifies its MAC, as the library's own command does.
func decrypt(tree sops.Tree, key []byte, values *values) error {
	mac, err := tree.Decrypt(key, values)
	if err != nil {
		return values.explain(err)
	}
	want, err := aes.NewCipher().Decrypt(tree.Metadata.MessageAuthenticationCode, key, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return tampered("its MAC does not belong to this file and its lastmodified")
	}
	if want != mac || mac == "" {
		return tampered("its values do not match its MAC")
	}
	return nil
}

// emit writes each document without comments. Some comments are encrypted, and none is needed.
func emit(store sops.Store, branches sops.TreeBranches, f secrets.Format) ([][]byte, error) {
	var documents [][]byte
	for _, branch := range branches {
		branch = withoutComments(branch)
		if len(branch) == 0 && f == secrets.YAML {
			documents = append(documents, nil)
			continue
		}
		text, err := store.EmitPlainFile(sops.TreeBranches{branch})
		if err != nil {
			return nil, malformed("it cannot be written as " + string(f))
		}
		documents = append(documents, text)
	}
	return documents, nil
}

func withoutComments(branch sops.TreeBranch) sops.TreeBranch {
	kept := make(sops.TreeBranch, 0, len(branch))
	for _, item := range branch {
		if isComment(item.Key) || isComment(item.Value) {
			continue
		}
		item.Value = bare(item.Value)
		kept = append(kept, item)
	}
	return kept
}

func bare(value any) any {
	switch value := value.(type) {
	case sops.TreeBranch:
		return withoutComments(value)
	case []any:
		kept := make([]any, 0, len(value))
		for _, item := range value {
			if !isComment(item) {
				kept = append(kept, bare(item))
			}
		}
		return kept
	}
	return value
}

func isComment(value any) bool {
	_, is := value.(sops.Comment)
	return is
}

// unreadable describes the library's error about a file without its words, because these quote the file.
func unreadable(err error) error {
	for words, detail := range map[string]string{
		"sops metadata not found": "it has encrypted values, but no sops metadata that names the recipients",
		"more than one of":        "it has several rules that say what is encrypted, and SOPS allows one",
		"No keys found in file":   "it names no recipients",
		"parsing time":            "a time in its sops part is missing or broken",
		"already defined":         "it has a key twice",
	} {
		if strings.Contains(err.Error(), words) {
			return malformed(detail)
		}
	}
	return malformed("SOPS cannot read it")
}

func tampered(detail string) *secrets.Error {
	return &secrets.Error{Reason: secrets.Tampered, Detail: detail}
}

func malformed(detail string) *secrets.Error {
	return &secrets.Error{Reason: secrets.Malformed, Detail: detail}
}
