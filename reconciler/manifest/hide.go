package manifest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// minHidden is the minimum length of a hidden value: hiding every "1" would make a text unreadable.
const minHidden = 4

// Hide replaces values in another program's text by a mark. It finds them as they are, line by line, and as JSON, Go,
// URLs and base64 encode them, also within longer texts. Programs differ in what they escape.
func Hide(text string, values []string, mark string) string {
	var parts []string
	for _, value := range values {
		for _, part := range append(strings.Split(value, "\n"), value) {
			if part = strings.TrimSpace(part); len(part) >= minHidden {
				parts = append(parts, part)
			}
		}
	}
	slices.SortFunc(parts, longestFirst) // the whole before its parts
	standard, meant := toBase64.Replace(text), unescape(text)
	for _, part := range slices.Compact(parts) {
		if len(part) > len(text) {
			continue // every encoding is at least as long
		}
		was := text
		text = meant.hide(text, part, mark)
		for _, form := range written(part) {
			text = strings.ReplaceAll(text, form, mark)
		}
		for _, form := range encoded(part, standard) {
			text = form.ReplaceAllLiteralString(text, mark)
		}
		if text != was {
			meant = unescape(text)
		}
	}
	return text
}

func longestFirst(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) }

// written returns the ways in which other programs write a value within texts.
func written(value string) []string {
	forms := []string{value, url.QueryEscape(value), url.PathEscape(value), inQuotes(strconv.Quote(value))}
	var plain strings.Builder
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	quoted, err := json.Marshal(value)
	if err := errors.Join(err, encoder.Encode(value)); err == nil { // encoding a text never fails
		forms = append(forms, inQuotes(string(quoted)), inQuotes(strings.TrimSpace(plain.String())))
	}
	slices.SortFunc(forms, longestFirst)
	return slices.Compact(forms)
}

// toBase64 converts the base64 of URLs, and that in JSON, to standard base64.
var toBase64 = strings.NewReplacer("-", "+", "_", "/", `\/`, "/", `\u002b`, "+", `\u002B`, "+", `\u002f`, "/", `\u002F`, "/")

// encoded matches the base64 of a value, alone or within that of a longer text. The value then has one of three
// forms, and shares the characters at both ends with the text around it. Only forms that occur in the text are
// returned: Secrets have many lines, and compiling a regular expression takes longer than all other steps.
func encoded(value, text string) []*regexp.Regexp {
	var forms []*regexp.Regexp
	for from := range 3 {
		whole := from + (len(value)-from)/3*3
		std := base64.StdEncoding.EncodeToString([]byte(value[from:whole]))
		if std == "" || !strings.Contains(text, std) {
			continue
		}
		before, after := "", ""
		if from > 0 {
			before = `(?:[\w+/-]|\\/){0,4}`
		}
		if whole < len(value) {
			after = `(?:[\w+/-]|\\/){0,4}=*`
		}
		safe := strings.NewReplacer("+", `(?:[+-]|\\u002[bB])`, "/", `(?:\\?/|_|\\u002[fF])`).Replace(std)
		forms = append(forms, regexp.MustCompile(before+safe+after))
	}
	return forms
}

func inQuotes(text string) string { return text[1 : len(text)-1] }

// Values returns the contents of an object beside its metadata: the decoded values of a Secret, and every text of
// another kind.
func Values(o *unstructured.Unstructured) []string {
	var values []string
	for field, content := range o.Object {
		switch {
		case field == "apiVersion" || field == "kind" || field == "metadata" || field == "type":
		case field == "data" && o.GroupVersionKind().GroupKind() == SecretKind:
			for _, text := range texts(content) {
				if decoded, err := base64.StdEncoding.DecodeString(text); err == nil {
					text = string(decoded)
				}
				values = append(values, text)
			}
		default:
			values = append(values, texts(content)...)
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

func texts(value any) (all []string) {
	switch value := value.(type) {
	case string:
		return []string{value}
	case map[string]any:
		for _, inner := range value {
			all = append(all, texts(inner)...)
		}
	case []any:
		for _, inner := range value {
			all = append(all, texts(inner)...)
		}
	}
	return all
}
