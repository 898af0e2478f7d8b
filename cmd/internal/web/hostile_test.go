package web_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
)

// hostile are texts that Git or the cluster may say, and what a page must not have of them.
var hostile = map[string]struct {
	text  string
	never []string
}{
	"HTML":             {`"><img src=x onerror=evil()>'`, []string{"<img src=x"}},
	"a script":         {`</script><script>evil()</script>`, []string{"<script>evil"}},
	"a template":       {`{{.}}<template hx type="partial" hx-target="body">evil</template>`, []string{`<template hx`}},
	"htmx' own tags":   {`<hx-partial hx-target="body">evil</hx-partial>`, []string{"<hx-partial"}},
	"a script's URL":   {"javascript:evil()", []string{`href="javascript:`, `href='javascript:`}},
	"a data URL":       {"data:text/html,<script>evil()</script>", []string{`href="data:`, "<script>evil"}},
	"terminal codes":   {"a\x1b[31mred\x07\x00", []string{"\x1b", "\x07", "\x00"}},
	"another writing":  {"a\u202egnp.exe\u2066\u200f", []string{"\u202e", "\u2066", "\u200f"}},
	"a broken text":    {"a\xff\xfe", []string{"\xff", "\xfe"}},
	"a very long text": {strings.Repeat("wide ", 2000), nil}, // its page is whole; a browser shows in e2e/page whether it fits
}

// missedHook is an event whose message is from the cluster.
func missedHook(text string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "missed", Namespace: namespace}, Reason: "HookMissed", Message: text, LastTimestamp: ago(0),
		InvolvedObject: corev1.ObjectReference{Kind: "Repository", Namespace: namespace, Name: "posts"},
	}
}

func TestHostileTextIsShownAsText(t *testing.T) {
	for name, test := range hostile {
		t.Run(name, func(t *testing.T) {
			env, repo := environment("main", v1alpha1.ReasonFailed, ""), repository()
			fill(reflect.ValueOf(&env.Status).Elem(), test.text)
			fill(reflect.ValueOf(&repo.Status).Elem(), test.text)
			env.Spec.Branch, env.Spec.Namespace = test.text, test.text
			env.Spec.Pin = strings.Repeat("9f8e", 10)
			env.Status.Conditions[0].Type, repo.Status.Conditions[0].Type = v1alpha1.ConditionReady, v1alpha1.ConditionReady
			repo.Spec.URL = test.text
			s := &site{cluster: test.text}
			fill(reflect.ValueOf(&s.description).Elem(), test.text)
			s.description.Environment = nil
			step := inspect.Step{}
			fill(reflect.ValueOf(&step).Elem(), test.text)
			step.Fields[0].New = test.text
			s.steps = map[string][]inspect.Step{env.Spec.Pin: {step}}
			s.unread = []string{test.text}
			for _, pod := range s.description.Objects[0].Pods {
				s.lines = append(s.lines, inspect.Line{Source: inspect.Source{Pod: pod.Name, Container: pod.Containers[0]}, Text: test.text})
			}
			open(t, s, env, repo, missedHook(test.text))
			s.shows("/", "a webhook did not arrive")
			s.shows("/env/"+env.Name+"/diff", "Not shown") // the screens show what they are about
			for _, path := range []string{"/", "/?q=" + "%3Cscript%3Eevil%28%29", "/rows?name=" + env.Name, "/env/" + env.Name, "/env/" + env.Name + "/history", "/env/" + env.Name + "/diff", "/env/" + env.Name + "/logs", "/env/" + env.Name + "/do/sync", "/env/" + env.Name + "/do/confirm", "/repo/posts/confirm", "/env/%3Cscript%3Eevil()"} {
				s.hides(path, append(test.never, "<script>evil")...)
				if body := s.get(path); !strings.HasSuffix(strings.TrimSpace(body), "</html>") && !strings.HasPrefix(path, "/rows") {
					t.Errorf("%s ends after %d bytes", path, len(body))
				}
			}
		})
	}
}

// Names of viewers come from the issuer, and the reason of a refusal may name claims.
func TestHostileViewersAreShownAsText(t *testing.T) {
	for name, test := range hostile {
		t.Run(name, func(t *testing.T) {
			h := opensHall(t, reads(test.text), environment("main", v1alpha1.ReasonHealthy, ""))
			h.says = test.text
			for path, shown := range map[string]string{"/": `class="who"`, "/login?lost": "The issuer cannot be reached"} {
				body := h.asks(test.text, http.MethodGet, path, nil).Body.String()
				if !strings.Contains(body, shown) {
					t.Errorf("%s shows\n%.2000s", path, body)
				}
				for _, text := range append(test.never, "<script>evil") {
					if strings.Contains(body, text) {
						t.Errorf("%s has %q", path, text)
					}
				}
			}
		})
	}
}

// fill sets every text in a value, and one element in every list.
func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), text)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if v.Type() == reflect.TypeFor[*v1alpha1.Environment]() {
			return
		}
		fill(v.Elem(), text)
	case reflect.Struct:
		for n := range v.NumField() {
			if v.Field(n).CanSet() {
				fill(v.Field(n), text)
			}
		}
	}
}
