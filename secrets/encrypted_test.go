package secrets_test

import (
	"testing"

	"berth.dev/berth/secrets"
)

func TestEncrypted(t *testing.T) {
	const value = "ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]"
	for _, test := range []struct {
		reason, file, content string
		want                  bool
	}{
		{"an empty file", "a.yaml", "", false},
		{"a manifest", "a.yaml", "kind: Secret\nstringData: {a: b}\n", false},
		{"YAML with the key sops", "a.yaml", "a: b\nsops:\n  mac: x\n", true},
		{"with a quoted key", "a.yaml", "\"sops\":\n  mac: x\n", true},
		{"in flow style", "a.yaml", "sops: {mac: x}\n", true},
		{"with Windows' line ends", "a.yaml", "a: b\r\nsops:\r\n  mac: x\r\n", true},
		{"the second document", "a.yaml", "a: b\n---\nsops:\n  mac: x\n", true},
		{"cut off before sops", "a.yaml", "a: " + value + "\n", true},
		{"cut off within a value", "a.yaml", "a: ENC[AES256_GCM,data:eA", true},
		{"sops deeper down", "a.yaml", "spec:\n  sops:\n    mac: x\n", false},
		{"another key", "a.yaml", "sopsy:\n  mac: x\n", false},
		{"a text and not a mapping", "a.yaml", "sops: true\n", false},
		{"a comment about it", "a.yaml", "# looks like " + value + "\na: b\n", false},
		{"a comment, and a value", "a.yaml", "# " + value + "\na: " + value + "\n", true},
		{"JSON", "a.json", `{"a": 1, "sops": {"mac": "x"}}`, true},
		{"JSON with tabs", "a.json", "{\n\t\"sops\": {\n\t\t\"mac\": \"x\"\n\t}\n}", true},
		{"JSON in a file of any name", "tls.key", `{"data": "x", "sops": {"mac": "x"}}`, true},
		{"dotenv", "a.env", "A=b\nsops_mac=x\n", true},
		{"dotenv cut off", "a.env", "A=" + value + "\n", true},
		{"dotenv of another", "a.env", "sops_home=/x\n", false},
		{"INI", "a.ini", "[a]\nb = c\n\n[sops]\nmac = x\n", true},
		{"INI in YAML", "a.yaml", "kind: ConfigMap\ndata:\n  a.ini: |\n    [sops]\n    mac = x\n", false},
		{"a text that mentions it", "README.md", "How to use sops: read on.\n", false},
	} {
		if got := secrets.Encrypted(test.file, []byte(test.content)); got != test.want {
			t.Errorf("%s: got %t, want %t", test.reason, got, test.want)
		}
	}
}
