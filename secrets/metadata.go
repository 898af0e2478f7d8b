package secrets

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// metadataKey is the key of SOPS' own part of a file.
	metadataKey = "sops"
	// maxRecipients bounds how many recipients a file may name, since each costs a try, and maxRemote
	// how many of them may be remote keys, since a try of those may take as long as RemoteTimeout.
	maxRecipients = 200
	maxRemote     = 10
	// defaultSuffix marks what is not encrypted in a file that has no rule.
	defaultSuffix = "_unencrypted"
	// maxRule bounds how long a regular expression may be, which every key, or every comment, is held against.
	maxRule = 1000
)

// metadata is SOPS' own part of a file.
type metadata struct {
	lastModified     time.Time
	mac              string
	macOnlyEncrypted bool
	rule             rule
	// groups hold recipients that can do the same. Of several groups, each has a part of the data key,
	// and threshold parts make it whole.
	groups    [][]recipient
	threshold int
}

// recipient is one for whom the data key, or a part of it, is encrypted.
type recipient struct {
	kind string
	// name is the age recipient, the fingerprint, or the id of a remote key. It comes from the file.
	name string
	// dataKey is what the recipient can decrypt, in the form of its kind.
	dataKey string
	remote  remoteKey
}

// The kinds of recipients, as files name them.
const (
	kindAge   = "age"
	kindPGP   = "pgp"
	kindAWS   = "kms"
	kindGCP   = "gcp_kms"
	kindAzure = "azure_kv"
	kindVault = "hc_vault"
	kindHCKMS = "hckms"
)

// kinds are in the order in which they are tried: what needs no network goes first.
var kinds = []string{kindAge, kindPGP, kindVault, kindAWS, kindGCP, kindAzure, kindHCKMS}

// fields gives access to a mapping of unknown content. Texts stand for numbers and booleans where the
// format knows only texts.
type fields map[string]any

func (f fields) text(key string) string {
	switch value := f[key].(type) {
	case string:
		return value
	case time.Time:
		return value.Format(time.RFC3339)
	case int:
		return strconv.Itoa(value)
	}
	return ""
}

func (f fields) number(key string) int {
	n, err := strconv.Atoi(f.text(key))
	if err != nil {
		return 0
	}
	return n
}

func (f fields) truth(key string) bool {
	if value, ok := f[key].(bool); ok {
		return value
	}
	value, err := strconv.ParseBool(f.text(key))
	return err == nil && value
}

// each returns the mappings of a list.
func (f fields) each(key string) []fields {
	items, ok := f[key].([]any)
	if !ok {
		return nil
	}
	var found []fields
	for _, it := range items {
		if mapping, ok := it.(map[string]any); ok {
			found = append(found, mapping)
		}
	}
	return found
}

// newMetadata reads what stands under the metadata key.
func newMetadata(b branch) (*metadata, error) {
	content, err := goMap(b, 0)
	if err != nil {
		return nil, err
	}
	f := fields(content)
	m := &metadata{mac: f.text("mac"), macOnlyEncrypted: f.truth("mac_only_encrypted"), threshold: f.number("shamir_threshold")}
	if m.lastModified, err = time.Parse(time.RFC3339, f.text("lastmodified")); err != nil {
		return nil, malformed("its sops.lastmodified is not a time")
	}
	if m.rule, err = newRule(f); err != nil {
		return nil, err
	}
	if err := m.readGroups(f); err != nil {
		return nil, err
	}
	return m, nil
}

func newRule(f fields) (rule, error) {
	found := rule{suffix: defaultSuffix, plain: true}
	named := 0
	for _, key := range []string{"unencrypted_suffix", "encrypted_suffix", "unencrypted_regex", "encrypted_regex",
		"unencrypted_comment_regex", "encrypted_comment_regex"} {
		text := f.text(key)
		if text == "" {
			continue
		}
		named++
		found = rule{plain: strings.HasPrefix(key, "un")}
		if strings.HasSuffix(key, "_suffix") {
			found.suffix = text
			continue
		}
		if len(text) > maxRule {
			return rule{}, malformed("its sops.%s is longer than %d bytes", key, maxRule)
		}
		pattern, err := regexp.Compile(text)
		if err != nil {
			return rule{}, malformed("its sops.%s is not a regular expression", key)
		}
		if strings.HasSuffix(key, "_comment_regex") {
			found.comment = pattern
		} else {
			found.regex = pattern
		}
	}
	if named > 1 {
		return rule{}, malformed("it has several rules that say what is encrypted, and SOPS allows one")
	}
	return found, nil
}

func (m *metadata) readGroups(f fields) error {
	groups := []fields{f}
	if len(recipientsOf(f)) == 0 {
		groups = f.each("key_groups")
	}
	for _, group := range groups {
		m.groups = append(m.groups, recipientsOf(group))
	}
	all, remote := 0, 0
	for _, group := range m.groups {
		for _, r := range group {
			if all++; r.isRemote() {
				remote++
			}
		}
	}
	switch {
	case all == 0:
		return malformed("it names nobody that it is encrypted for")
	case all > maxRecipients:
		return malformed("it names %d recipients, and %d are allowed", all, maxRecipients)
	case remote > maxRemote:
		return malformed("it names %d remote keys, and %d are allowed", remote, maxRemote)
	}
	if len(m.groups) > 1 && m.threshold == 0 {
		m.threshold = len(m.groups)
	}
	return nil
}

func recipientsOf(group fields) []recipient {
	var found []recipient
	for _, kind := range kinds {
		for _, f := range group.each(kind) {
			found = append(found, newRecipient(kind, f))
		}
	}
	return found
}

func (r recipient) isRemote() bool { return r.kind != kindAge && r.kind != kindPGP }

func newRecipient(kind string, f fields) recipient {
	r := recipient{kind: kind, dataKey: f.text("enc")}
	switch kind {
	case kindAge:
		r.name = f.text("recipient")
	case kindPGP:
		r.name = f.text("fp")
	case kindHCKMS:
		r.name = f.text("key_id")
	default:
		r.remote = newRemoteKey(kind, f)
		r.name = r.remote.id
	}
	r.name = printable(r.name)
	return r
}

// recipients returns the names of all recipients, without doubles.
func (m *metadata) recipients() []string {
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

// printable makes a text from a file fit for a message.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// goMap turns a branch into a map, without its comments.
func goMap(b branch, depth int) (map[string]any, error) {
	content := make(map[string]any, len(b))
	for _, it := range b {
		if it.comment {
			continue
		}
		if _, twice := content[it.key]; twice {
			return nil, malformed("it has the key %q twice", shortened(it.key))
		}
		value, err := goValue(it.value, depth+1)
		if err != nil {
			return nil, err
		}
		content[it.key] = value
	}
	return content, nil
}

func goValue(value any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, malformed("its values nest deeper than %d levels", maxDepth)
	}
	switch value := value.(type) {
	case branch:
		return goMap(value, depth)
	case sequence:
		var items []any
		for _, it := range value {
			if _, ok := it.(comment); ok {
				continue
			}
			plain, err := goValue(it, depth+1)
			if err != nil {
				return nil, err
			}
			items = append(items, plain)
		}
		return items, nil
	case *leaf:
		return value.value, nil
	}
	return nil, nil
}

// cutMetadata takes SOPS' own part out of a document. It returns nil if the document has none.
func cutMetadata(b branch) (rest, meta branch, err error) {
	found := false
	for _, it := range b {
		if it.comment || it.key != metadataKey {
			rest = append(rest, it)
			continue
		}
		part, ok := it.value.(branch)
		if found || !ok {
			return nil, nil, malformed("its key sops is not one mapping")
		}
		meta, found = part, true
	}
	return rest, meta, nil
}
