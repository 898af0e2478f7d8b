package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"testing"

	"berth.dev/berth/secrets"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/keys"
	yamlv3 "go.yaml.in/yaml/v3"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

const secret = `# about the file
apiVersion: v1
kind: Secret
metadata:
    name: db # the database
    labels: {app: posts}
stringData:
    # sops:enc
    password: "hunter2"
    empty: ""
    # a note
    multiline: |
        first
          second

        third
    odd: "tab\there: \"quoted\" ${NAME} # no comment"
    note_unencrypted: seen
`

const manyTypes = `string: text
int: 42
negative: -7
big: 9007199254740993
float: 1.5
whole: 2.0
exponent: 1e30
yes: true
no: false
none: null
date: 2026-01-02
time: 2026-01-02T03:04:05.678Z
octal: 0o17
unicode: "ü€😀"
numbery: "0123"
list:
    # in a list
    - one # inline
    - 2
    # before a mapping
    - name: three
      # deep
      value: 3
    - [a, b]
    - null
    # at the end
nested:
    deeper:
        deepest: 1
empty_map: {}
empty_list: []
`

const several = `# first
a: 1
b: secret
---
# second
a: 2
b: another
---
a: 3
`

var rules = map[string]sops.Metadata{
	"default":                   {UnencryptedSuffix: sops.DefaultUnencryptedSuffix},
	"unencrypted_suffix":        {UnencryptedSuffix: "_plain"},
	"encrypted_suffix":          {EncryptedSuffix: "word"},
	"encrypted_regex":           {EncryptedRegex: "^(data|stringData|b|list|nested)$"},
	"unencrypted_regex":         {UnencryptedRegex: "^(apiVersion|kind|metadata|a)$"},
	"encrypted_comment_regex":   {EncryptedCommentRegex: "sops:enc|second|before a mapping"},
	"unencrypted_comment_regex": {UnencryptedCommentRegex: "^ (a note|first|deep)$"},
	"mac_only_encrypted":        {EncryptedRegex: "^(data|stringData|b|list)$", MACOnlyEncrypted: true},
}

func TestWhatTheLibraryEncryptsIsDecrypted(t *testing.T) {
	recipient, private := newAge(t)
	d := decrypter(t, map[string]string{"a.agekey": private})
	for _, test := range []struct{ format, file, plain string }{
		{"yaml", "secret.yaml", secret},
		{"yaml", "values.yml", manyTypes},
		{"yaml", "several.yaml", several},
		{"json", "a.json", `{"a": 1, "b": "<x> & ü", "list": [1, 2.5, "three", true, null, {"b": "c"}], "big": 9007199254740993, "nested": {"c": {}, "d": []}, "none": null}`},
		{"dotenv", "a.env", "# a note\nA=1\nPASSWORD=hunter2 with spaces = signs\nEMPTY=\nLINES=one\\ntwo\n"},
		{"ini", "a.ini", "; a note\n[database]\nuser = app\n; sops:enc\npassword = hunter2\n[other]\nempty =\nquoted = \"a ; b\"\n"},
		{"ini", "top.ini", "global = 1\n[other]\nlines = \"\"\"one\ntwo\"\"\"\n"},
		{"binary", "tls.key", "-----BEGIN KEY-----\nabc\n-----END KEY-----\n"},
		{"binary", "no-name", ""},
	} {
		for name, rule := range rules {
			if (test.format == "json" || test.format == "binary") && (rule.EncryptedCommentRegex+rule.UnencryptedCommentRegex) != "" {
				continue // they have no comments
			}
			t.Run(test.file+"/"+name, func(t *testing.T) {
				f := seal(t, test.format, test.plain, rule, []keys.MasterKey{recipient})
				if !secrets.Encrypted(test.file, f.encrypted) {
					t.Errorf("not seen as encrypted:\n%s", f.encrypted)
				}
				got, err := d.Decrypt(t.Context(), test.file, f.encrypted)
				if err != nil {
					t.Fatalf("%v\n%s", err, f.encrypted)
				}
				equal(t, test.format, got, f.decrypted)
				if secrets.Encrypted(test.file, got) {
					t.Errorf("seen as encrypted:\n%s", got)
				}
			})
		}
	}
}

// equal compares with what the library writes. Formats with only one layout are compared byte by byte. Others are
// compared by content, because comments are omitted and the layout is kept.
func equal(t *testing.T, format string, got, want []byte) {
	t.Helper()
	switch format {
	case "yaml":
		if a, b := documents(t, got), documents(t, want); !reflect.DeepEqual(a, b) {
			t.Errorf("got\n%s\n%#v\nwant\n%s\n%#v", got, a, want, b)
		}
	case "dotenv", "ini":
		if a, b := lines(got), lines(want); !reflect.DeepEqual(a, b) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	default:
		if !bytes.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func lines(text []byte) []string {
	var found []string
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && line[0] != ';' {
			found = append(found, string(line))
		}
	}
	return found
}

func documents(t *testing.T, text []byte) []any {
	t.Helper()
	decoder := yamlv3.NewDecoder(bytes.NewReader(text))
	var found []any
	for {
		var value any
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		found = append(found, value)
	}
}

func TestKeysOfAllKinds(t *testing.T) {
	one, oneKey := newAge(t)
	two, twoKey := newAge(t)
	three, threeKey := newPGP(t)
	for _, test := range []struct {
		name      string
		groups    [][]keys.MasterKey
		threshold int
		data      map[string]string
		want      secrets.Reason
	}{
		{name: "one of two", groups: [][]keys.MasterKey{{one, two}}, data: map[string]string{"a.agekey": twoKey}},
		{name: "PGP", groups: [][]keys.MasterKey{{three}}, data: map[string]string{"a.asc": threeKey}},
		{name: "PGP beside age", groups: [][]keys.MasterKey{{one, three}}, data: map[string]string{"a.asc": threeKey, "b.agekey": twoKey}},
		{name: "neither", groups: [][]keys.MasterKey{{one, three}}, data: map[string]string{"b.agekey": twoKey}, want: secrets.NoKey},
		{name: "two groups of three", groups: [][]keys.MasterKey{{one}, {two}, {three}}, threshold: 2, data: map[string]string{"a.asc": threeKey, "b.agekey": oneKey}},
		{name: "all groups", groups: [][]keys.MasterKey{{one}, {two}, {three}}, threshold: 3, data: map[string]string{"a.asc": threeKey, "b.agekey": oneKey + "\n" + twoKey}},
		{name: "more groups than needed", groups: [][]keys.MasterKey{{one}, {two}, {three}}, threshold: 2, data: map[string]string{"a.asc": threeKey, "b.agekey": oneKey + "\n" + twoKey}},
		{name: "too few groups", groups: [][]keys.MasterKey{{one}, {two}, {three}}, threshold: 2, data: map[string]string{"b.agekey": oneKey}, want: secrets.NoKey},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, format := range []string{"yaml", "json", "dotenv"} {
				plain := map[string]string{"yaml": "a: hunter2\n", "json": `{"a": "hunter2"}`, "dotenv": "A=hunter2\n"}[format]
				f := seal(t, format, plain, sops.Metadata{ShamirThreshold: test.threshold}, test.groups...)
				got, err := decrypter(t, test.data).Decrypt(t.Context(), "x."+format, f.encrypted)
				var e *secrets.Error
				switch {
				case test.want == "" && err != nil:
					t.Errorf("%s: %v", format, err)
				case test.want == "":
					equal(t, format, got, f.decrypted)
				case !errors.As(err, &e) || e.Reason != test.want:
					t.Errorf("%s: got %q, %v, want %s", format, got, err, test.want)
				}
			}
		})
	}
}

// Each document that was encrypted on its own has its own SOPS metadata, even if several share a file.
func TestFilesThatMixDocuments(t *testing.T) {
	recipient, private := newAge(t)
	d := decrypter(t, map[string]string{"a.agekey": private})
	first := seal(t, "yaml", secret, rules["encrypted_regex"], []keys.MasterKey{recipient})
	pair := seal(t, "yaml", several, rules["default"], []keys.MasterKey{recipient})
	plain := "kind: ConfigMap # stays\ndata:\n  text: |+\n    as it is\n\n"
	got, err := d.Decrypt(t.Context(), "mixed.yaml", []byte(plain+"---\n"+string(first.encrypted)+"---\n"+plain+"---\n"+string(pair.encrypted)))
	if err != nil {
		t.Fatal(err)
	}
	want := plain + "---\n" + string(first.decrypted) + "---\n" + plain + "---\n" + string(pair.decrypted)
	equal(t, "yaml", got, []byte(want))
	if bytes.Count(got, []byte(plain)) != 2 {
		t.Errorf("the plain documents have changed:\n%s", got)
	}
}
