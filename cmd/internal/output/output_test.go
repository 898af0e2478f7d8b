package output_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/cmd/internal/output"
)

func TestTable(t *testing.T) {
	var text strings.Builder
	table := output.NewTable(&text)
	for _, rows := range [][][]string{
		{{"NAME", "STATUS", "MESSAGE"}, {"a", "Healthy", ""}, {"grün", "", "one\nline \x1b[31mred"}},
		{{"b", "Failed", "later rows stay in their columns"}},
		{{"a-long-name", "Failed", "wider"}, {"b", "Healthy", "and stays so"}},
	} {
		if err := table.Write(rows...); err != nil {
			t.Fatal(err)
		}
	}
	want := `
NAME   STATUS    MESSAGE
a      Healthy
grün   <none>    one line ?[31mred
b      Failed    later rows stay in their columns
a-long-name   Failed    wider
b             Healthy   and stays so
`
	if diff := cmp.Diff(want, "\n"+text.String()); diff != "" {
		t.Error(diff)
	}
}

func TestPlain(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"as it is: \"ü\" 100 %", "as it is: \"ü\" 100 %"},
		{" a\r\nb\tc ", "a  b c"},
		{"\x1b]0;title\x07", "?]0;title?"},
		{"user\u202Etxt.exe", "user?txt.exe"},
		{"\xff", "?"},
	} {
		if got := output.Plain(test.text); got != test.want {
			t.Errorf("Plain(%q) = %q, want %q", test.text, got, test.want)
		}
	}
}

func TestAge(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		then time.Time
		want string
	}{
		{time.Time{}, ""},
		{now.Add(-90 * time.Second), "90s"},
		{now.Add(-49 * time.Hour), "2d1h"},
		{now.Add(time.Second), "0s"}, // a clock that is ahead of ours
	} {
		if got := output.Age(test.then, now); got != test.want {
			t.Errorf("Age(%v) = %q, want %q", test.then, got, test.want)
		}
	}
}

func TestMask(t *testing.T) {
	mask := &output.Mask{Kinds: []string{"ConfigMap", "Vault.example.com"}}
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{"name": "s", "annotations": map[string]any{
			"kubectl.kubernetes.io/last-applied-configuration": `{"data":{"key":"c2VjcmV0"}}`, "other": "stays",
		}},
		"data":       map[string]any{"key": "c2VjcmV0"},
		"stringData": map[string]any{"other": "secret"},
	}}
	var text strings.Builder
	if err := output.YAML.Write(&text, mask.Object(secret)); err != nil {
		t.Fatal(err)
	}
	want := `
apiVersion: v1
data:
  key: '***'
kind: Secret
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '***'
    other: stays
  name: s
stringData:
  other: '***'
`
	if diff := cmp.Diff(want, "\n"+text.String()); diff != "" {
		t.Error(diff)
	}
	if value, _, _ := unstructured.NestedString(secret.Object, "data", "key"); value != "c2VjcmV0" {
		t.Errorf("the object itself was changed: its value is %q", value)
	}
	odd := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "data": "c2VjcmV0"}}
	if got := mask.Object(odd).Object["data"]; got != "***" {
		t.Errorf("data that is no mapping is shown: %v", got)
	}
	vault := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Vault", "spec": map[string]any{"list": []any{map[string]any{"a": int64(12345), "b": nil}}}}}
	if diff := cmp.Diff(map[string]any{"list": []any{map[string]any{"a": "***", "b": nil}}}, mask.Object(vault).Object["spec"]); diff != "" {
		t.Errorf("a kind that may hold what was decrypted: %s", diff)
	}
	plain := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "spec": map[string]any{"key": "value"}}}
	if diff := cmp.Diff(plain, mask.Object(plain)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(secret, (*output.Mask)(nil).Object(secret)); diff != "" {
		t.Errorf("no mask hides: %s", diff)
	}
	if got, want := mask.Text("secret is c2VjcmV0, 1 is not", secret), "*** is ***, 1 is not"; got != want {
		t.Errorf("a text about a Secret is %q, want %q", got, want)
	}
	if got, want := mask.Text("expected a string, got 12345", vault), "expected a string, got ***"; got != want {
		t.Errorf("a text about a number is %q, want %q", got, want)
	}
}

func TestWrite(t *testing.T) {
	for _, test := range []struct {
		format output.Format
		value  any
		want   string
	}{
		{output.JSON, map[string]any{"a": "<b>"}, "{\n    \"a\": \"<b>\"\n}\n"},
		{output.YAML, map[string]any{"a": []int{1}}, "a:\n- 1\n"},
		{output.YAML, output.List[int](nil), "apiVersion: v1\nitems: []\nkind: List\nmetadata: {}\n"},
	} {
		var text strings.Builder
		if err := test.format.Write(&text, test.value); err != nil || text.String() != test.want {
			t.Errorf("%s of %v is %q, %v; want %q", test.format, test.value, text.String(), err, test.want)
		}
	}
}

func TestParse(t *testing.T) {
	if f, err := output.Parse("yaml", output.JSON, output.YAML); f != output.YAML || err != nil {
		t.Errorf("got %q, %v", f, err)
	}
	_, err := output.Parse("xml", output.JSON, output.YAML, "name")
	if want := `cannot print as "xml": -o is json, yaml or name`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestCount(t *testing.T) {
	if got := output.Count(1, "object") + ", " + output.Count(2, "object"); got != "1 object, 2 objects" {
		t.Error(got)
	}
}
