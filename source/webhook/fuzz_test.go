package webhook_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzDelivery checks that every delivery gets an answer, and that Notify is called only for authentic ones.
func FuzzDelivery(f *testing.F) {
	p := push(`{"ref":"refs/heads/main"}`)
	for _, seed := range []delivery{
		p, p.fromGitLab("Push Hook", "guess"), p.fromGitHub("push", "guess"), p.fromForgejo("push", "guess"),
		p.signed("a-1", noon, wrongSigning), p.to("/hooks/unknown"), p.to("/"), p.by(http.MethodGet),
		p.with("webhook-signature", "v1, v1,== v1a,AA==").with("webhook-timestamp", "-9223372036854775808"),
	} {
		var header strings.Builder
		_ = seed.header.Write(&header)
		f.Add(seed.method, seed.path, header.String(), seed.body)
	}
	f.Fuzz(func(t *testing.T, method, path, header, body string) {
		if _, err := url.ParseRequestURI(path); err != nil || strings.ContainsAny(path, " \r\n") {
			return // a server rejects it earlier
		}
		x := delivery{method: method, path: path, header: http.Header{}, body: body}
		for line := range strings.Lines(header) {
			if name, value, ok := strings.Cut(line, ": "); ok {
				x.header.Add(name, strings.TrimRight(value, "\r\n"))
			}
		}
		if strings.Contains(header, token) || strings.Contains(header, previousToken) {
			return
		}
		d := newDesk(t, 1<<16)
		answer := d.receive(x)
		switch answer.StatusCode {
		case http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("answered %s", answer.Status)
		}
		if len(d.told) > 0 {
			t.Errorf("told %q", d.told)
		}
	})
}
