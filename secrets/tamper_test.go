package secrets_test

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/secrets"
)

func linesWith(content []byte, text string) []int {
	var found []int
	number := 0
	for line := range bytes.Lines(content) {
		if number++; bytes.Contains(line, []byte(text)) {
			found = append(found, number)
		}
	}
	return found
}

var mac = regexp.MustCompile(`(mac"?:? ?=? ?"?)ENC\[[^\]]*\]`)

// replace changes a text, and fails if the text is absent.
func replace(old, new string) func(string) string {
	return func(content string) string { return strings.ReplaceAll(content, old, new) }
}

func pattern(old, new string) func(string) string {
	return func(content string) string { return regexp.MustCompile(old).ReplaceAllString(content, new) }
}

// swap exchanges the first two matches.
func swap(expression string) func(string) string {
	return func(content string) string {
		found := regexp.MustCompile(expression).FindAllString(content, 2)
		return strings.NewReplacer(found[0], found[1], found[1], found[0]).Replace(content)
	}
}

func TestTamperedFilesAreRefused(t *testing.T) {
	const value = `ENC\[AES256_GCM,[^\]]*type:str\]`
	for _, test := range []struct {
		name, file string
		change     func(string) string
		want       secrets.Reason
		text       string
	}{
		{"no MAC", "secret.yaml", pattern(`    mac: .*\n`, ""), secrets.Unauthenticated, "it has no MAC"},
		{"an empty MAC", "secret.yaml", func(s string) string { return mac.ReplaceAllString(s, `$1""`) }, secrets.Unauthenticated, "it has no MAC"},
		{"no MAC in dotenv", "db.env", pattern(`sops_mac=.*\n`, ""), secrets.Unauthenticated, "it has no MAC"},
		{"no MAC in INI", "app.ini", pattern(`(?m)^mac +=.*$`, ""), secrets.Unauthenticated, "it has no MAC"},
		{"a plain MAC", "secret.yaml", func(s string) string { return mac.ReplaceAllString(s, "${1}AB12") }, secrets.Tampered, "its MAC does not belong"},
		{"another time", "secret.yaml", replace("2026-02-03T04:05:06Z", "2026-02-03T04:05:07Z"), secrets.Tampered, "its MAC does not belong to this file and its lastmodified"},
		{"no time", "secret.yaml", pattern(`    lastmodified: .*\n`, ""), secrets.Malformed, "its sops.lastmodified is not a time"},
		{"a plain value", "secret.yaml", replace("name: db", "name: web"), secrets.Tampered, "its values do not match its MAC"},
		{"another kind", "secret.yaml", replace("kind: Secret", "kind: ConfigMap"), secrets.Tampered, "its values do not match its MAC"},
		{"values exchanged", "secret.yaml", swap(value), secrets.Tampered, `"stringData.user" does not decrypt`},
		{"another key", "secret.yaml", replace("    password: ENC", "    passwort: ENC"), secrets.Tampered, `"stringData.passwort" does not decrypt`},
		{"another parent", "whole.yaml", replace("list:", "data:"), secrets.Tampered, `"data" does not decrypt`},
		{"items exchanged", "whole.yaml", swap(`    - ENC.*\n`), secrets.Tampered, "its values do not match its MAC"},
		{"an item hidden in a comment", "whole.yaml", replace("    - ENC", "    #ENC"), secrets.Tampered, "its values do not match its MAC"},
		{"a value in the clear", "secret.yaml", pattern(`password: ENC.*`, "password: mine"), secrets.Tampered, `"stringData.password" does not decrypt`},
		{"a number in the clear", "secret.yaml", pattern(`password: ENC.*`, "password: 1"), secrets.Tampered, "a value is plain where an encrypted one belongs"},
		{"a value emptied", "secret.yaml", pattern(`password: ENC.*`, `password: ""`), secrets.Tampered, "its values do not match its MAC"},
		{"a value left out", "secret.yaml", pattern(`    password: ENC.*\n`, ""), secrets.Tampered, "its values do not match its MAC"},
		{"a value added", "secret.yaml", replace("metadata:\n", "metadata:\n    namespace: other\n"), secrets.Tampered, "its values do not match its MAC"},
		{"another type", "secret.yaml", replace("type:int", "type:bool"), secrets.Tampered, "does not have the type"},
		{"an unknown type", "secret.yaml", replace("type:int", "type:object"), secrets.Tampered, "does not have the type"},
		{"a value made a comment", "secret.yaml", replace("type:int", "type:comment"), secrets.Tampered, "its values do not match its MAC"},
		{"a changed bit", "secret.yaml", pattern(`(user: ENC\[AES256_GCM,data:)...`, "${1}AAA"), secrets.Tampered, `"stringData.user" does not decrypt`},
		{"a short tag", "secret.yaml", pattern(`tag:[^,]*,type:int`, "tag:AAAA,type:int"), secrets.Tampered, `"stringData.port" does not decrypt`},
		{"no nonce", "secret.yaml", pattern(`iv:[^,]*,`, "iv:=,"), secrets.Tampered, "does not decrypt"},
		{"another rule", "secret.yaml", replace("^(data|stringData)$", "^(data)$"), secrets.Tampered, "its values do not match its MAC"},
		{"no rule", "secret.yaml", pattern(`    encrypted_regex: .*\n`, ""), secrets.Tampered, `"apiVersion" does not decrypt`},
		{"a MAC over less", "secret.yaml", replace("    encrypted_regex", "    mac_only_encrypted: true\n    encrypted_regex"), secrets.Tampered, "its values do not match its MAC"},
		{"a MAC over more", "only-encrypted.yaml", replace("mac_only_encrypted: true", "mac_only_encrypted: false"), secrets.Tampered, "its values do not match its MAC"},
		{"a comment that counts", "comments.yaml", replace("# sops:enc", "# sops:dec"), secrets.Tampered, "its values do not match its MAC"},
		{"a comment that counts, more", "comments.yaml", replace("b: plain", "# sops:enc\nb: plain"), secrets.Tampered, `"b" does not decrypt`},
		{"documents exchanged", "several.yaml", swap(`    a: ENC.*\n`), secrets.Tampered, "its values do not match its MAC"},
		{"a document left out", "several.yaml", func(s string) string { return s[strings.Index(s, "\n---\n")+5:] }, secrets.Tampered, "its values do not match its MAC"},
		{"a document without its part", "several.yaml", func(s string) string {
			at := strings.LastIndex(s, "sops:\n")
			return s[:at]
		}, secrets.Malformed, "document 2: it is not a complete SOPS document: it has encrypted values and no key sops"},
		{"a key twice", "secret.yaml", replace("metadata:\n", "metadata:\n    name: db\n"), secrets.Malformed, `it has the key "name" twice`},
		{"a key twice in JSON", "config.json", replace("{\n\t\"a\"", "{\n\t\"n\": 3,\n\t\"a\""), secrets.Malformed, `it has the key "n" twice`},
		{"something behind JSON", "config.json", func(s string) string { return s + "{}" }, secrets.Malformed, "something follows its JSON object"},
		{"an anchor", "secret.yaml", replace("name: db", "name: &x db\n    other: *x"), secrets.Malformed, "it has an alias on line"},
		{"no recipients", "secret.yaml", pattern(`(?s)    age:.*?recipient: \S+\n`, ""), secrets.Malformed, "it names no recipients"},
		{"two rules", "secret.yaml", replace("    encrypted_regex", "    encrypted_suffix: x\n    encrypted_regex"), secrets.Malformed, "several rules"},
		{"a broken rule", "secret.yaml", replace("^(data|stringData)$", "("), secrets.Malformed, "its sops.encrypted_regex is not a regular expression"},
		{"a long rule", "secret.yaml", replace("^(data|stringData)$", strings.Repeat("(a{1000})", 112)), secrets.Malformed, "its sops.encrypted_regex is longer than 1000 bytes"},
		{"a long key", "secret.yaml", replace("stringData:", "? "+strings.Repeat("k", 1025)+"\n: x\nstringData:"), secrets.Malformed, `a key in it is longer than 1024 bytes: "kkk`},
		{"a broken data key", "secret.yaml", pattern(`(-----BEGIN AGE ENCRYPTED FILE-----\n *)....`, "${1}AAAA"), secrets.Tampered, "its data key for age1"},
		{"too few groups", "groups.json", replace(`"shamir_threshold": 2`, `"shamir_threshold": 1`), "", ""},
		{"too many groups", "groups.json", replace(`"shamir_threshold": 2`, `"shamir_threshold": 3`), secrets.NoKey, "no available key decrypts it"},
		{"a line that is none", "db.env", func(s string) string { return s + "rest\n" }, secrets.Malformed, "is neither KEY=VALUE nor a comment"},
		{"a value of INI", "app.ini", swap(`ENC\[AES256_GCM,[^\]]*type:str\]`), secrets.Tampered, `"db.user" does not decrypt`},
	} {
		t.Run(test.name, func(t *testing.T) {
			content := string(golden(t, test.file))
			changed := test.change(content)
			if changed == content {
				t.Fatalf("nothing changed in\n%s", content)
			}
			got, err := with(t, "production", "review").Decrypt(t.Context(), test.file, []byte(changed))
			if test.want == "" {
				if err != nil {
					t.Error(err) // a successful result must be the original
				}
				return
			}
			var e *secrets.Error
			if !errors.As(err, &e) || e.Reason != test.want || !strings.Contains(err.Error(), test.text) {
				t.Fatalf("got %q, %v\nof\n%s", got, err, changed)
			}
			if strings.Contains(err.Error(), "hunter") || e.File != test.file || got != nil {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// A truncated file must not pass for a complete one, nor for one that was never encrypted.
func TestFilesThatWereCutOffAreRefused(t *testing.T) {
	for _, file := range []string{"secret.yaml", "several.yaml", "config.json", "db.env", "app.ini", "tls.key"} {
		d, content := with(t, "production"), golden(t, file)
		whole, err := d.Decrypt(t.Context(), file, content)
		if err != nil {
			t.Fatal(err)
		}
		first := bytes.Index(content, []byte("ENC[AES256_GCM,data:")) + len("ENC[AES256_GCM,data:")
		for end := first; end < len(content); end++ {
			if !secrets.Encrypted(file, content[:end]) {
				t.Errorf("%s[:%d] counts as plain", file, end)
			}
			if got, err := d.Decrypt(t.Context(), file, content[:end]); err == nil && !slices.Equal(got, whole) {
				t.Errorf("%s[:%d] decrypts to %q", file, end, got)
			}
		}
	}
}
