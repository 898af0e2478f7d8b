package webhook_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"berth.dev/berth/source/webhook"
)

// The secrets of the repositories in these tests, and one that no repository has.
const (
	token           = "s3cr3t-of-posts"
	previousToken   = "s3cr3t-before"
	signing         = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
	previousSigning = "whsec_c2lnbmluZyBrZXkgb2YgbGFzdCB5ZWFyLi4u"
	wrongSigning    = "whsec_c2lnbmluZyBrZXkgb2Ygc29tZWJvZHkgZWxzZQ=="
)

var secrets = map[string]webhook.Secrets{
	"posts":      {Token: token, PreviousToken: previousToken, SigningToken: signing, PreviousSigningToken: previousSigning},
	"only-token": {Token: token},
	"only-sign":  {SigningToken: signing},
	"nothing":    {},
	"unreadable": {SigningToken: "whsec_?????"},
}

// noon is the time of all these tests.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// desk is a receiver that records the calls of Notify.
type desk struct {
	handler http.Handler
	log     bytes.Buffer
	now     time.Time

	mu   sync.Mutex
	told []string // repository and event
}

func newDesk(t testing.TB, limit int64) *desk {
	t.Helper()
	d := &desk{now: noon}
	d.handler = webhook.New(webhook.Config{
		Secrets: func(_ context.Context, repository string) (webhook.Secrets, bool) {
			s, ok := secrets[repository]
			return s, ok
		},
		Notify: func(repository string, hook webhook.Hook) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.told = append(d.told, repository+" "+hook.Event)
		},
		BodyLimit: limit,
		Now:       func() time.Time { return d.now },
		Log:       slog.New(slog.NewTextHandler(&d.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return d
}

func (d *desk) receive(x delivery) *http.Response {
	request := httptest.NewRequest(http.MethodPost, x.path, iotest.OneByteReader(strings.NewReader(x.body)))
	request.Method, request.Header = x.method, x.header
	answer := httptest.NewRecorder()
	d.handler.ServeHTTP(answer, request)
	return answer.Result()
}

func TestAuthenticDeliveriesAreTaken(t *testing.T) {
	for _, test := range []struct {
		payload string
		event   string
		send    func(d delivery, event string) delivery
	}{
		{"gitlab-push.json", "Push Hook", gitLab}, {"gitlab-branch-gone.json", "Push Hook", gitLab},
		{"gitlab-tag.json", "Tag Push Hook", gitLab}, {"gitlab-merge-request.json", "Merge Request Hook", gitLab},
		{"gitlab-pipeline.json", "Pipeline Hook", gitLab}, {"gitlab-system.json", "System Hook", gitLab},
		{"gitlab-push.json", "Push Hook", gitLabSigned}, {"gitlab-system.json", "System Hook", gitLabSigned},
		{"github-push.json", "push", gitHub}, {"github-ping.json", "ping", gitHub}, {"github-create.json", "create", gitHub},
		{"github-delete.json", "delete", gitHub}, {"github-pull-request.json", "pull_request", gitHub},
		{"gitea-push.json", "push", gitea}, {"gitea-push.json", "push", forgejo},
	} {
		t.Run(test.payload+" "+test.event, func(t *testing.T) {
			payload, err := os.ReadFile(filepath.Join("testdata", test.payload))
			if err != nil {
				t.Fatal(err)
			}
			d := newDesk(t, 0)
			if answer := d.receive(test.send(push(string(payload)), test.event)); answer.StatusCode != http.StatusAccepted {
				t.Errorf("answered %s; %s", answer.Status, &d.log)
			}
			if diff := cmp.Diff([]string{"posts " + test.event}, d.told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

func gitLab(d delivery, event string) delivery  { return d.fromGitLab(event, token) }
func gitHub(d delivery, event string) delivery  { return d.fromGitHub(event, token) }
func gitea(d delivery, event string) delivery   { return d.fromGitea(event, token) }
func forgejo(d delivery, event string) delivery { return d.fromForgejo(event, token) }
func gitLabSigned(d delivery, event string) delivery {
	return d.fromGitLab(event, "").signed("f5e57a38-56cd-4b5c-9c3b-b5b1b8c0c1d7", noon, signing)
}

// A form holds the JSON in its field payload. GitHub signs the form, Gitea and Forgejo the JSON.
func TestForms(t *testing.T) {
	json := `{"ref":"refs/heads/ümlaut & more","text":"a+b=c; 100%"}`
	form := "payload=" + url.QueryEscape(json)
	for _, test := range []struct {
		name string
		send delivery
		want int
	}{
		{"GitHub signs the form", push(form).as(form).fromGitHub("push", token), http.StatusAccepted},
		{"Gitea signs the JSON", push(json).fromGitea("push", token).as(form), http.StatusAccepted},
		{"Forgejo signs the JSON", push(json).fromForgejo("push", token).as(form), http.StatusAccepted},
		{"Gitea, while the token is changed", push(json).fromGitea("push", previousToken).as(form), http.StatusAccepted},
		{"among other fields", push(json).fromGitea("push", token).as("a=b&" + form + "&payload=x&c"), http.StatusAccepted},
		{"with another token", push(json).fromGitea("push", "guess").as(form), http.StatusUnauthorized},
		{"another payload", push(json).fromGitea("push", token).as(form + "x"), http.StatusUnauthorized},
		{"a second payload", push(json).fromGitea("push", token).as("payload=x&" + form), http.StatusUnauthorized},
		{"the JSON in another field", push(json).fromGitea("push", token).as("payloads=" + url.QueryEscape(json)), http.StatusUnauthorized},
		{"no form by its content type", push(json).fromGitea("push", token).as(form).replaced("Content-Type", formType, "application/json"), http.StatusUnauthorized},
		{"nothing at all", push("").fromGitea("push", "guess").as("payload="), http.StatusUnauthorized},
	} {
		d := newDesk(t, 0)
		if answer := d.receive(test.send); answer.StatusCode != test.want {
			t.Errorf("%s: answered %s; %s", test.name, answer.Status, &d.log)
		}
	}
}

func TestFormsAreDecodedAsGoDoes(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		json := rapid.String().Draw(t, "payload")
		body := url.Values{"payload": {json}, "a": {"x"}, "z": {rapid.String().Draw(t, "other")}}.Encode()
		d := newDesk(outer, 0)
		if answer := d.receive(push(json).fromGitea("push", token).as(body)); answer.StatusCode != http.StatusAccepted {
			t.Errorf("answered %s to %q", answer.Status, body)
		}
	})
}

func TestCredentials(t *testing.T) {
	const accepted, refused = http.StatusAccepted, http.StatusUnauthorized
	p := push(`{"ref":"refs/heads/main"}`)
	late := func(by time.Duration) delivery { return p.signed("a-1", noon.Add(by), signing) }
	for _, test := range []struct {
		name string
		send delivery
		want int
	}{
		{"none", p, refused},
		{"an empty token", p.with("X-Gitlab-Token", ""), refused},
		{"a wrong token", p.fromGitLab("Push Hook", "guess"), refused},
		{"the beginning of the token", p.fromGitLab("Push Hook", token[:5]), refused},
		{"more than the token", p.fromGitLab("Push Hook", token+" "), refused},
		{"the token while it is changed", p.fromGitLab("Push Hook", previousToken), accepted},
		{"an empty token where there is none", p.with("X-Gitlab-Token", "").to("/hooks/nothing"), refused},
		{"a signature with an empty key where there is none", p.fromGitHub("push", "").to("/hooks/nothing"), refused},
		{"a token where only signatures are taken", p.fromGitLab("Push Hook", token).to("/hooks/only-sign"), refused},

		{"a body signature while the token is changed", p.fromGitHub("push", previousToken), accepted},
		{"a body signature with another token", p.fromGitHub("push", "guess"), refused},
		{"a body signature of nothing, as Gitea sends without a secret", p.with("X-Gitea-Signature", ""), refused},
		{"a body signature and more", p.with("X-Hub-Signature-256", "sha256="+p.digest(token)+"zz"), refused},
		{"a body signature twice", p.fromGitHub("push", token).fromGitHub("push", token), accepted},
		{"a right one beside a wrong one", p.fromGitHub("push", token).with("X-Gitea-Signature", p.digest("guess")), refused},
		{"only the old SHA-1 signature", p.with("X-Hub-Signature", "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6"), refused},
		{"another body", delivery{p.method, p.path, p.fromGitHub("push", token).header, p.body + " "}, refused},
		{"the generic form", p.with("X-Signature", "sha256="+p.digest(token)), accepted},
		{"the generic form with another token", p.with("X-Signature", "sha256="+p.digest("guess")), refused},
		{"the key is not the signing token's text", p.fromGitHub("push", signing), refused},

		{"a token beside an unsigned id and time, as GitLab 19 sends them without a signing token",
			p.fromGitLab("Push Hook", token).with("webhook-id", "f5e57a38-56cd-4b5c-9c3b-b5b1b8c0c1d7").with("webhook-timestamp", "1"), accepted},
		{"a wrong token beside them", p.fromGitLab("Push Hook", "guess").with("webhook-id", "a-1").with("webhook-timestamp", "1"), refused},
		{"a signature", p.signed("a-1", noon, signing), accepted},
		{"a signature while the signing token is changed", p.signed("a-1", noon, previousSigning), accepted},
		{"signatures of a sender that changes its key", p.signed("a-1", noon, wrongSigning, signing), accepted},
		{"a signature with another key", p.signed("a-1", noon, wrongSigning), refused},
		{"a signature where only a token is taken", p.signed("a-1", noon, signing).to("/hooks/only-token"), refused},
		{"a signing token that is not one", p.signed("a-1", noon, signing).to("/hooks/unreadable"), refused},
		{"4:59 late", late(-4*time.Minute - 59*time.Second), accepted},
		{"5:01 late", late(-5*time.Minute - time.Second), refused},
		{"5:01 early", late(5*time.Minute + time.Second), refused},
		{"in the year 292277026596", late(time.Unix(1<<62, 0).Sub(noon)), refused},
		{"a signature of another version", p.signed("a-1", noon, signing).replaced("webhook-signature", "v1,", "v1a,"), refused},
		{"a signature with another id", p.signed("a-1", noon, signing).replaced("webhook-id", "a-1", "a-2"), refused},
		{"a signature with another time", p.signed("a-1", noon, signing).replaced("webhook-timestamp", "0", "1"), refused},
		{"a signature without an id", p.signed("", noon, signing), refused},
		{"an id with a dot", p.signed("a.1", noon, signing), refused},

		{"a right token beside a wrong signature", p.fromGitLab("Push Hook", token).signed("a-1", noon, wrongSigning), refused},
		{"a right token beside a wrong body signature", p.fromGitLab("Push Hook", token).with("X-Hub-Signature-256", "sha256=00"), refused},
		{"a wrong token beside a right signature", p.fromGitLab("Push Hook", "guess").signed("a-1", noon, signing), accepted},
		{"a right signature beside a wrong body signature", p.fromGitHub("push", "guess").signed("a-1", noon, signing), refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t, 0)
			answer := d.receive(test.send)
			if answer.StatusCode != test.want || (len(d.told) == 1) != (test.want == accepted) {
				t.Errorf("answered %s and told %q, want %d; %s", answer.Status, d.told, test.want, &d.log)
			}
		})
	}
}

// replaced changes a header after the delivery was signed.
func (d delivery) replaced(name, old, new string) delivery {
	value := strings.Replace(d.header.Get(name), old, new, 1)
	d.header = d.header.Clone()
	d.header.Set(name, value)
	return d
}

func TestPathsAndMethods(t *testing.T) {
	authentic := push("{}").fromGitLab("Push Hook", token)
	for _, test := range []struct {
		send  delivery
		want  int
		allow string
	}{
		{authentic.by(http.MethodGet), http.StatusMethodNotAllowed, "POST"},
		{authentic.by(http.MethodHead), http.StatusMethodNotAllowed, "POST"},
		{authentic.by(http.MethodPut), http.StatusMethodNotAllowed, "POST"},
		{authentic.by(http.MethodDelete).to("/hooks/unknown"), http.StatusMethodNotAllowed, "POST"},
		{authentic.to("/"), http.StatusNotFound, ""},
		{authentic.to("/hooks"), http.StatusNotFound, ""},
		{authentic.to("/hooks/"), http.StatusNotFound, ""},
		{authentic.to("/hooks/posts/"), http.StatusNotFound, ""},
		{authentic.to("/hooks/posts/more"), http.StatusNotFound, ""},
		{authentic.to("/x/hooks/posts"), http.StatusNotFound, ""},
		{authentic.to("/hooks/posts?x=y"), http.StatusAccepted, ""},
	} {
		d := newDesk(t, 0)
		answer := d.receive(test.send)
		if answer.StatusCode != test.want || answer.Header.Get("Allow") != test.allow {
			t.Errorf("%s %s: answered %s, Allow %q", test.send.method, test.send.path, answer.Status, answer.Header.Get("Allow"))
		}
	}
}

func TestAnUnknownRepositoryIsAnsweredAsOneWhoseCredentialIsWrong(t *testing.T) {
	p := push(strings.Repeat("x", 2000))
	for name, send := range map[string]delivery{
		"no credential":        p,
		"a token":              p.fromGitLab("Push Hook", "guess"),
		"a body signature":     p.fromGitHub("push", "guess"),
		"a signature":          p.signed("a-1", noon, wrongSigning),
		"an old signature":     p.signed("a-1", noon.Add(-time.Hour), wrongSigning),
		"too large to be read": push(strings.Repeat("x", 5000)).fromGitHub("push", "guess"),
	} {
		t.Run(name, func(t *testing.T) {
			known := dump(t, newDesk(t, 4096).receive(send))
			for _, other := range []string{"unknown", "nothing", "UPPER", "%2e%2e", "only-token", strings.Repeat("long", 500)} {
				if diff := cmp.Diff(known, dump(t, newDesk(t, 4096).receive(send.to("/hooks/"+other)))); diff != "" {
					t.Errorf("%s is answered otherwise (-posts +%s):\n%s", other, other, diff)
				}
			}
		})
	}
}

type dumped struct {
	Status int
	Header http.Header
	Body   string
}

func dump(t *testing.T, answer *http.Response) dumped {
	t.Helper()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return dumped{answer.StatusCode, answer.Header, string(body)}
}

func TestSizes(t *testing.T) {
	const limit = 4096
	fits, tooLarge := push(strings.Repeat("x", limit)), push(strings.Repeat("x", limit+1))
	for _, test := range []struct {
		name string
		send delivery
		want int
	}{
		{"signed, as large as may be", fits.fromGitHub("push", token), http.StatusAccepted},
		{"signed, too large to be proven", tooLarge.fromGitHub("push", token), http.StatusRequestEntityTooLarge},
		{"with a token, so that the body is not needed", tooLarge.fromGitLab("Push Hook", token), http.StatusAccepted},
		{"with a wrong token", tooLarge.fromGitLab("Push Hook", "guess"), http.StatusUnauthorized},
		{"empty", push("").fromGitHub("push", token), http.StatusAccepted},
	} {
		d := newDesk(t, limit)
		if answer := d.receive(test.send); answer.StatusCode != test.want {
			t.Errorf("%s: answered %s, want %d", test.name, answer.Status, test.want)
		}
	}
}

func TestARepeatedSignedDeliveryIsDropped(t *testing.T) {
	d := newDesk(t, 0)
	first := push("{}").signed("a-1", noon, signing)
	retried := push("{}").signed("a-1", noon.Add(time.Minute), signing)
	other := push("{}").signed("a-2", noon, signing)
	elsewhere := first.to("/hooks/only-sign")
	for _, send := range []delivery{first, first, retried, other, elsewhere, first} {
		if answer := d.receive(send); answer.StatusCode != http.StatusAccepted {
			t.Fatalf("answered %s; %s", answer.Status, &d.log)
		}
	}
	if diff := cmp.Diff([]string{"posts ", "posts ", "only-sign "}, d.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestAnUnprovenDeliveryTakesNoIDAway(t *testing.T) {
	d := newDesk(t, 0)
	d.receive(push("{}").signed("a-1", noon, wrongSigning))
	d.receive(push("{}").signed("a-1", noon, signing))
	if len(d.told) != 1 {
		t.Errorf("told %q, want one delivery", d.told)
	}
}

// The reasons are those of docs/troubleshooting.md.
func TestRefusalsSayWhy(t *testing.T) {
	p := push("{}")
	for _, test := range []struct {
		send   delivery
		reason string
	}{
		{p, `it has neither a signature nor a token (content type \"application/json\"); set the webhook's secret on the Git server`},
		{p.fromGitLab("Push Hook", "guess"), "its X-Gitlab-Token is neither the token nor token.previous of the Secret"},
		{p.fromGitHub("push", "guess"), `its X-Hub-Signature-256 (content type \"application/json\") was not made with the token or token.previous of the Secret, or the body was changed on the way`},
		{p.signed("a-1", noon, wrongSigning), "its webhook-signature was not made with the signingToken or signingToken.previous of the Secret; these are whsec_ and base64"},
		{p.signed("a-1", noon.Add(-time.Hour), signing), "its webhook-timestamp is 1h0m0s from this clock: let both keep time by NTP"},
		{p.signed("a.1", noon, signing), "its webhook-id or webhook-timestamp is not one"},
		{p.fromGitLab("Push Hook", token).to("/hooks/nothing"), "the Secret that spec.webhook names does not exist, or has neither token nor signingToken"},
	} {
		d := newDesk(t, 0)
		d.receive(test.send)
		if log := d.log.String(); !strings.Contains(log, "reason=\""+test.reason+"\"") {
			t.Errorf("the reason is not %q:\n%s", test.reason, log)
		}
	}
}

func TestEveryReasonIsLogged(t *testing.T) {
	d := newDesk(t, 0)
	for range 10 {
		d.receive(push("{}"))
		d.receive(push("{}").fromGitHub("push", "guess"))
		d.now = d.now.Add(time.Second)
	}
	if warnings := strings.Count(d.log.String(), "level=WARN"); warnings != 2 {
		t.Errorf("%d warnings, want one for each reason:\n%s", warnings, &d.log)
	}
	for n := range 100 { // anyone can make up reasons
		d.receive(push("{}").with("Content-Type", fmt.Sprint(n)).replaced("Content-Type", "application/json", fmt.Sprint(n)))
	}
	if warnings := strings.Count(d.log.String(), "level=WARN"); warnings != 4 {
		t.Errorf("%d warnings, want few", warnings)
	}
}

func TestRefusalsAreLoggedSeldomAndWithoutSecrets(t *testing.T) {
	d := newDesk(t, 0)
	for range 100 {
		d.receive(push("{}").fromGitLab("Push Hook", "guess"))
		d.receive(push("{}").fromGitLab("Push Hook", "guess").to("/hooks/unknown"))
	}
	d.now = noon.Add(2 * time.Minute)
	d.receive(push("{}").fromGitLab("Push Hook", token).signed("a-1", noon, signing).replaced("webhook-timestamp", "0", "1"))
	d.receive(push("{}").fromGitHub("push", token))
	log := d.log.String()
	if warnings := strings.Count(log, "level=WARN"); warnings != 2 {
		t.Errorf("%d warnings, want one for each repository and minute:\n%s", warnings, log)
	}
	for _, secret := range []string{"guess", token, signing, previousToken, previousSigning} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
}
