package manifest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestHide(t *testing.T) {
	values := []string{"hunter2", "1", "hunter2-and-more", "BEGIN\nLINEONE\n  LINETWO\nEND\n", `a "quoted" & <odd> value/+?`}
	for text, want := range map[string]string{
		"cannot log in as ada with hunter2":                        "cannot log in as ada with •••",
		"with hunter2-and-more":                                    "with •••",
		"decoding aHVudGVyMg== failed":                             "decoding ••• failed",
		"read LINEONE\nread LINETWO":                               "read •••\nread •••",
		`{"key":"BEGIN\nLINEONE\n  LINETWO\nEND"}`:                 `{"key":"•••"}`,
		"QkVHSU4KTElORU9ORQogIExJTkVUV08KRU5ECg==":                 "•••Cg==",
		`{"value":"a \"quoted\" \u0026 \u003codd\u003e value/+?"}`: `{"value":"•••"}`,
		`{"value":"a \"quoted\" & <odd> value/+?"}`:                `{"value":"•••"}`,
		"GET /?v=a+%22quoted%22+%26+%3Codd%3E+value%2F%2B%3F&b":    "GET /?v=•••&b",
		"1 error in production":                                    "1 error in production",
		"":                                                         "",
	} {
		if got := Hide(text, values, "•••"); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// A password in an Authorization header is base64 together with other text.
func TestHideWithinBase64(t *testing.T) {
	const value = "correct-horse-battery"
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		for _, before := range []string{"", "u", "us", "use", "user:"} {
			for _, after := range []string{"", "\n", "@h", "@host"} {
				got := Hide(encoding.EncodeToString([]byte(before+value+after)), []string{value}, "•••")
				head, tail, hidden := strings.Cut(got, "•••")
				if !hidden || len(head) > len(before)*2+4 || len(tail) > len(after)*2+4 {
					t.Errorf("%q%s%q became %q", before, value, after, got)
				}
			}
		}
	}
}

// Each JSON encoder has its own set of characters that it escapes, and its own digits.
func TestHideWhateverAnEncoderEscapes(t *testing.T) {
	values := []string{`p/a<é>😀"w`, "user", "first\nsecond", `C:\users\ada`}
	for text, want := range map[string]string{
		`PHP {"p":"p\/a<\u00e9>\ud83d\ude00\"w","b":1}`:                         `PHP {"p":"•••","b":1}`,
		`Python {"p":"p/a<\u00e9>\ud83d\ude00\"w"}`:                             `Python {"p":"•••"}`,
		`.NET {"p":"p/a\u003C\u00E9\u003E\uD83D\uDE00\u0022w"} and p\/a<é>😀\"w`: `.NET {"p":"•••"} and •••`,
		`only \u0075\u0073\u0065\u0072, twice: \u0075ser`:                       `only •••, twice: •••`,
		`lines: first\u000asecond and first\u000D\u000Asecond`:                  `lines: ••• and •••\u000D\u000A•••`,
		`a path: C:\\users\\ada, C:\users\ada and C:\u005cusers\u005Cada`:       `a path: •••, ••• and •••`,
		`broken: \u00, \u12G4, \ud83d, \x, p\/a<\u00e and \`:                    `broken: \u00, \u12G4, \ud83d, \x, p\/a<\u00e and \`,
		`base64: cC9hPMOpPvCfmIAidw== cC9hPMOpPvCfmIAidw\u003d\u003d`:           `base64: ••• •••\u003d\u003d`,
		`nothing of it: C:\temp\new "quoted\" \u0041`:                           `nothing of it: C:\temp\new "quoted\" \u0041`,
	} {
		if got := Hide(text, values, "•••"); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// PHP escapes the slash of base64, and .NET its plus.
func TestHideBase64InJSON(t *testing.T) {
	value := "~~~>>>???~~~>>>???" // has both characters in base64
	std := base64.StdEncoding.EncodeToString([]byte(value))
	if !strings.Contains(std, "/") || !strings.Contains(std, "+") {
		t.Fatalf("%s lacks one of the characters", std)
	}
	for _, form := range []string{strings.ReplaceAll(std, "/", `\/`), strings.ReplaceAll(std, "+", `\u002B`)} {
		if got := Hide(`{"auth":"`+form+`"}`, []string{value}, "•••"); got != `{"auth":"•••"}` {
			t.Errorf("%s became %s", form, got)
		}
	}
}

func FuzzHide(f *testing.F) {
	f.Add("hunter2", "say \"", "\" twice")
	f.Add("a\nbcdef\n", "", "")
	f.Fuzz(func(t *testing.T, value, before, after string) {
		part := strings.TrimSpace(value)
		if len(part) < 2*minHidden || strings.Contains("•••", part) || strings.ContainsRune(part, '•') {
			t.Skip()
		}
		quoted, _ := json.Marshal(part)
		for _, form := range []string{part, url.QueryEscape(part), inQuotes(string(quoted)), inQuotes(fmt.Sprintf("%q", part))} {
			if got := Hide(before+form+after, []string{value}, "•••"); strings.Contains(got, part) {
				t.Errorf("%q is still in %q", part, got)
			}
		}
	})
}

func TestValues(t *testing.T) {
	of := func(kind string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "posts"}, "type": "Opaque", "immutable": true,
			"data":       map[string]any{"password": "aHVudGVyMg==", "odd": "not base64!"},
			"stringData": map[string]any{"name": "YWRh", "more": []any{"one"}},
		}}
	}
	for kind, want := range map[string][]string{
		"Secret":    {"YWRh", "hunter2", "not base64!", "one"},
		"ConfigMap": {"YWRh", "aHVudGVyMg==", "not base64!", "one"},
	} {
		if got := Values(of(kind)); !slices.Equal(got, want) {
			t.Errorf("of a %s: %q, want %q", kind, got, want)
		}
	}
}

// BenchmarkHide shows that four times as many lines of a Secret take four times as long.
func BenchmarkHide(b *testing.B) {
	text := strings.Repeat("2026-01-02 cannot log in as ada: the server refused it with code 28P01\n", 20)
	for _, n := range []int{2_000, 8_000} {
		var value strings.Builder
		for i := range n {
			fmt.Fprintf(&value, "line number %d\n", i)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if Hide(text, []string{value.String()}, "•••") != text {
					b.Fatal("something was hidden")
				}
			}
		})
	}
}
