package secrets_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"berth.dev/berth/secrets"
)

// sealedValues matches the ciphertexts of a file.
var sealedValues = regexp.MustCompile(`ENC\[AES256_GCM,data:[^\]]*\]`)

func conceal(t *testing.T, file, content string) string {
	t.Helper()
	plain, err := secrets.Conceal(file, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	for placeholder, value := range plain.Values {
		if !strings.Contains(string(plain.Veiled), placeholder) || !strings.Contains(string(plain.Content), value.Text) {
			t.Errorf("%s: placeholder %q or text %q is missing", file, placeholder, value.Text)
		}
	}
	return string(plain.Content)
}

// A file in any format is readable without a key, and shows nothing of its ciphertexts but whether they changed.
func TestConcealFormats(t *testing.T) {
	var files []string
	for _, pattern := range []string{"golden/*.yaml", "golden/*.ini", "golden/*.json", "golden/*.env", "golden/tls.key", "published/*.enc.*", "published/example.*"} {
		found, err := filepath.Glob("testdata/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 15 {
		t.Fatalf("only %d files", len(files))
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text := conceal(t, file, string(content))
			if strings.Contains(text, "ENC[") || regexp.MustCompile(`(?m)^(sops[:_]|\[sops\])|"sops"`).MatchString(text) {
				t.Errorf("it is still encrypted:\n%s", text)
			}
			if !secrets.IsConcealed(text) {
				t.Errorf("it holds no mark:\n%s", text)
			}
			if again := conceal(t, file, string(content)); again != text {
				t.Errorf("the same file gives another text:\n%s\n%s", text, again)
			}
		})
	}
}

func TestConcealShowsWhichValueChanged(t *testing.T) {
	content, err := os.ReadFile("../examples/posts/infra/production/secret.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values := func(text string) map[string]string {
		var secret struct {
			StringData map[string]string `yaml:"stringData"`
		}
		if err := yaml.Unmarshal([]byte(conceal(t, "secret.yaml", text)), &secret); err != nil {
			t.Fatal(err)
		}
		return secret.StringData
	}
	before := values(string(content))
	first := sealedValues.FindString(string(content))
	after := values(strings.Replace(string(content), first, strings.Replace(first, "data:", "data:A", 1), 1))
	if before["APP_KEY"] == after["APP_KEY"] || before["DB_PASSWORD"] != after["DB_PASSWORD"] {
		t.Errorf("%v became %v", before, after)
	}
	for _, text := range before {
		if !secrets.IsConcealed(text) || len(text)%4 != 0 {
			t.Errorf("%q is no mark, or no base64", text)
		}
	}
}

// What the guard refuses before decryption, it refuses here too.
func TestConcealRefusesHostileFiles(t *testing.T) {
	for reason, content := range map[string]string{
		"an alias":     "a: &a ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\nb: *a\nsops: {mac: x}\n",
		"deep":         "a: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "\nb: ENC[AES256_GCM,data:x]\nsops: {mac: x}\n",
		"no recipient": "a: ENC[AES256_GCM,data:x]\n",
	} {
		if plain, err := secrets.Conceal("secret.yaml", []byte(content)); err == nil {
			t.Errorf("%s: %s", reason, plain.Content)
		}
	}
}
