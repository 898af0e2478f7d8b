package secrets

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strconv"
	"time"
)

const (
	// maxRecipients bounds the recipients of a file, because each one costs an attempt. maxRemote bounds the remote
	// keys among them, because each attempt may take as long as RemoteTimeout.
	maxRecipients = 200
	maxRemote     = 10
	// maxDataKey bounds the encrypted form of a data key. An armored one has about 500 bytes.
	maxDataKey = 64 << 10
	// maxRule bounds the length of a rule. maxRuleCost bounds the instructions that SOPS compiles for it in one file: a
	// million takes about 0.2 s, see BenchmarkRule.
	maxRule     = 1000
	maxRuleCost = 5_000_000
)

// Envelope describes how a file is encrypted. It can be read without a key.
type Envelope struct {
	// Recipients are the recipients of the file. If it has several YAML documents, they are those of all documents.
	Recipients []string
	// Authenticated is true if every part of the file has a MAC. Only the worker can verify it.
	Authenticated bool
}

// Inspect reads the metadata of an encrypted file. Its error is an *Error.
func Inspect(file string, content []byte) (Envelope, error) {
	e := Envelope{Authenticated: true}
	parts, err := read(file, content)
	for _, p := range parts.encrypted {
		for _, name := range p.metadata.recipients() {
			if !slices.Contains(e.Recipients, name) {
				e.Recipients = append(e.Recipients, name)
			}
		}
		e.Authenticated = e.Authenticated && p.metadata.mac != ""
	}
	if err != nil {
		return e, explained(err, file, nil)
	}
	return e, nil
}

// metadata holds the SOPS metadata that this package checks. The worker reads the metadata again by itself.
type metadata struct {
	mac string
	// groups hold recipients. Any recipient of a group suffices. With several groups, some of them must each give a
	// share of the data key.
	groups [][]recipient
}

// recipient is one recipient of the data key, or of a share of it. Its name comes from the file: an age recipient, a
// fingerprint, or the id of a remote key.
type recipient struct {
	kind   Kind
	name   string
	remote RemoteKey
}

// Kind is a kind of recipient. Its value is the name in SOPS files.
type Kind string

// The kinds of recipients.
const (
	KindAge   Kind = "age"
	KindPGP   Kind = "pgp"
	KindAWS   Kind = "kms"
	KindGCP   Kind = "gcp_kms"
	KindAzure Kind = "azure_kv"
	KindVault Kind = "hc_vault"
	// KindHuawei is recognized only for messages.
	KindHuawei Kind = "hckms"
)

// kinds lists the kinds in the order of the attempts: those that need no network come first.
var kinds = []Kind{KindAge, KindPGP, KindVault, KindAWS, KindGCP, KindAzure, KindHuawei}

// fields gives access to a mapping of unknown content. In formats without types, it converts texts to numbers and
// booleans.
type fields map[string]any

func (f fields) text(key string) string {
	switch value := f[key].(type) {
	case nil:
		return ""
	case string:
		return value
	case time.Time:
		return value.Format(time.RFC3339)
	default:
		return fmt.Sprint(value)
	}
}

// each returns the mappings of a list.
func (f fields) each(key string) []fields {
	var items []any
	switch value := f[key].(type) {
	case []any:
		items = value
	case map[string]any: // a list, in a format that does not nest
		for _, number := range slices.SortedFunc(maps.Keys(value), byNumber) {
			items = append(items, value[number])
		}
	}
	var found []fields
	for _, it := range items {
		if mapping, ok := it.(map[string]any); ok {
			found = append(found, mapping)
		}
	}
	return found
}

func byNumber(a, b string) int {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x - y
}

func newMetadata(o outline) (metadata, error) {
	f := fields(o.meta)
	m := metadata{mac: f.text("mac")}
	if _, err := time.Parse(time.RFC3339, f.text("lastmodified")); err != nil {
		return m, malformed("its sops.lastmodified is not a time")
	}
	if err := checkRule(f, o.steps); err != nil {
		return m, err
	}
	groups := []fields{f}
	if len(recipientsOf(f)) == 0 {
		groups = f.each("key_groups")
	}
	all, remote := 0, 0
	for _, group := range groups {
		found := recipientsOf(group)
		for _, r := range found {
			if all++; r.isRemote() {
				remote++
			}
		}
		m.groups = append(m.groups, found)
	}
	switch {
	case all == 0:
		return m, malformed("it names no recipients")
	case all > maxRecipients:
		return m, malformed("it names %d recipients, and %d are allowed", all, maxRecipients)
	case remote > maxRemote:
		return m, malformed("it names %d remote keys, and %d are allowed", remote, maxRemote)
	}
	return m, checkDataKeys(groups)
}

// rules are the settings of SOPS for what it encrypts. A file has at most one.
var rules = []string{"unencrypted_suffix", "encrypted_suffix", "unencrypted_regex", "encrypted_regex",
	"unencrypted_comment_regex", "encrypted_comment_regex"}

// checkRule refuses a rule that SOPS would ignore or compile too slowly. SOPS compiles it at each step.
func checkRule(f fields, steps int) error {
	named := 0
	for i, key := range rules {
		text := f.text(key)
		if text == "" {
			continue
		}
		if named++; i < 2 {
			continue
		}
		if len(text) > maxRule {
			return malformed("its sops.%s is longer than %d bytes", key, maxRule)
		}
		parsed, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			return malformed("its sops.%s is not a regular expression", key)
		}
		if instructions(parsed) > maxRuleCost/max(steps, 1) {
			return malformed("its sops.%s is too costly for a file of this size", key)
		}
	}
	if named > 1 {
		return malformed("it has several rules that say what is encrypted, and SOPS allows one")
	}
	return nil
}

// instructions estimates the size of a compiled regular expression. The parser bounds the repetitions.
func instructions(r *syntax.Regexp) int {
	sum := 1 + len(r.Rune)
	for _, sub := range r.Sub {
		sum += instructions(sub)
	}
	if r.Op == syntax.OpRepeat {
		sum *= max(r.Min, r.Max, 1)
	}
	return sum
}

func recipientsOf(group fields) []recipient {
	var found []recipient
	for _, kind := range kinds {
		for _, f := range group.each(string(kind)) {
			found = append(found, newRecipient(kind, f))
		}
	}
	return found
}

// checkDataKeys refuses data keys that crash the SOPS library, and those that are too long.
func checkDataKeys(groups []fields) error {
	for _, group := range groups {
		for _, kind := range kinds {
			for _, f := range group.each(string(kind)) {
				if len(f.text("enc")) > maxDataKey {
					return tampered("its data key for " + Shortened(newRecipient(kind, f).name) + " is broken")
				}
				if context, ok := f["context"].(map[string]any); ok && hasOtherThanTexts(context) {
					return malformed("the context of its key %s has a value that is not a text", Shortened(newRecipient(kind, f).name))
				}
			}
		}
	}
	return nil
}

func hasOtherThanTexts(values map[string]any) bool {
	for _, value := range values {
		if _, ok := value.(string); !ok {
			return true
		}
	}
	return false
}

func (r recipient) isRemote() bool { return r.kind != KindAge && r.kind != KindPGP }

func newRecipient(kind Kind, f fields) recipient {
	r := recipient{kind: kind}
	switch kind {
	case KindAge:
		r.name = f.text("recipient")
	case KindPGP:
		r.name = f.text("fp")
	case KindHuawei:
		r.name = f.text("key_id")
	case KindAWS:
		r.remote = AWSKey(f.text("arn"), f.text("role"))
	case KindGCP:
		r.remote = GCPKey(f.text("resource_id"))
	case KindAzure:
		r.remote = AzureKey(f.text("vault_url"), f.text("name"), f.text("version"))
	case KindVault:
		r.remote = VaultKey(f.text("vault_address"), f.text("engine_path"), f.text("key_name"))
	}
	if r.name == "" {
		r.name = r.remote.ID
	}
	r.name = Printable(r.name)
	return r
}

// recipients returns the distinct names of all recipients.
func (m metadata) recipients() []string {
	var names []string
	for _, group := range m.groups {
		for _, r := range group {
			if !slices.Contains(names, r.name) {
				names = append(names, r.name)
			}
		}
	}
	return names
}
