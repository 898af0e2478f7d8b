package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Secrets authenticate the deliveries for a repository. During a change, deliveries with the previous secret are
// authentic too. An empty field authenticates nothing.
type Secrets struct {
	// Token is what X-Gitlab-Token must hold, and the key of the signatures of GitHub, Gitea, Forgejo and
	// the generic form.
	Token, PreviousToken string
	// SigningToken is the key of a Standard Webhooks signature, which GitLab makes: whsec_ and base64.
	SigningToken, PreviousSigningToken string
}

// keys are the current and the previous secret of each sort; an unset secret is replaced by a random key.
type keys struct{ tokens, signing [2][]byte }

func keysOf(s Secrets, nobody []byte) keys {
	orNobody := func(key []byte) []byte {
		if len(key) == 0 {
			return nobody
		}
		return key
	}
	return keys{
		tokens:  [2][]byte{orNobody([]byte(s.Token)), orNobody([]byte(s.PreviousToken))},
		signing: [2][]byte{orNobody(signingKey(s.SigningToken)), orNobody(signingKey(s.PreviousSigningToken))},
	}
}

// signingKey reads a key as https://www.standardwebhooks.com writes it; nil if it is not one.
func signingKey(token string) []byte {
	text := strings.TrimRight(strings.TrimPrefix(token, "whsec_"), "=")
	return decoded(base64.RawStdEncoding.DecodeString(text))
}

// tolerance is how far a signed delivery's timestamp may be from our clock, as Standard Webhooks recommends.
const tolerance = 5 * time.Minute

// claim holds the credentials of a delivery.
type claim struct {
	event string
	// digests claim to be the HMAC-SHA256 of the body, and come from the headers named beside them.
	digests  []digest
	envelope *envelope
	token    string
	// media is the content type; form is true if the JSON is a field of a form.
	media string
	form  bool
}

type digest struct {
	header string
	sum    []byte
}

// envelope is what Standard Webhooks signs together with the body.
type envelope struct {
	id, timestamp string
	signatures    [][]byte
}

// bodySignatures are the headers that hold an HMAC-SHA256 of the body in hexadecimal, each with its prefix. Gitea and
// Forgejo send several of them.
var bodySignatures = []struct{ header, prefix string }{
	{"X-Hub-Signature-256", "sha256="},
	{"X-Forgejo-Signature", ""},
	{"X-Gitea-Signature", ""},
	{"X-Signature", "sha256="}, // the generic form, as in Flux's generic-hmac
}

// Standard Webhooks' headers.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// eventHeaders name the event; Gitea and Forgejo send GitHub's too.
var eventHeaders = []string{"X-Gitlab-Event", "X-Forgejo-Event", "X-Gitea-Event", "X-Github-Event"}

// maxEvent is far longer than any sender's name of an event.
const maxEvent = 64

func claimOf(header http.Header) claim {
	media := header.Get("Content-Type")
	c := claim{token: header.Get("X-Gitlab-Token"), media: media[:min(maxEvent, len(media))], form: isForm(header)}
	for _, s := range bodySignatures {
		for _, value := range header.Values(s.header) {
			c.digests = append(c.digests, digest{header: s.header, sum: decoded(hex.DecodeString(strings.TrimPrefix(value, s.prefix)))})
		}
	}
	if values := header.Values(headerSignature); len(values) > 0 {
		c.envelope = &envelope{id: header.Get(headerID), timestamp: header.Get(headerTimestamp)}
		for _, field := range strings.Fields(strings.Join(values, " ")) {
			if text, ok := strings.CutPrefix(field, "v1,"); ok {
				c.envelope.signatures = append(c.envelope.signatures, decoded(base64.StdEncoding.DecodeString(text)))
			}
		}
	}
	for _, name := range eventHeaders {
		if event := header.Get(name); event != "" {
			c.event = event[:min(maxEvent, len(event))]
			break
		}
	}
	return c
}

// decoded returns nil, which equals no digest, if the text cannot be decoded completely.
func decoded(sum []byte, err error) []byte {
	if err != nil {
		return nil
	}
	return sum
}

// prove returns nil for an authentic delivery. Every signature in it must be right; the token decides only if there
// is none. The time that it takes depends on the delivery alone, not on the keys.
func (c claim) prove(body io.Reader, k keys, now time.Time) error {
	if c.envelope == nil && len(c.digests) == 0 {
		return c.proveToken(k)
	}
	var signed [2]hash.Hash
	var sums []hash.Hash // of the body and, if it is a form, of its payload
	var writers []io.Writer
	for i := range 2 {
		signed[i] = hmac.New(sha256.New, k.signing[i])
		if len(c.digests) > 0 {
			sum := hmac.New(sha256.New, k.tokens[i])
			sums, writers = append(sums, sum), append(writers, sum)
		}
		if len(c.digests) > 0 && c.form {
			sum := hmac.New(sha256.New, k.tokens[i])
			sums, writers = append(sums, sum), append(writers, &formPayload{out: sum})
		}
		if c.envelope != nil {
			_, _ = io.WriteString(signed[i], c.envelope.id+"."+c.envelope.timestamp+".")
			writers = append(writers, signed[i])
		}
	}
	if _, err := io.Copy(io.MultiWriter(writers...), body); err != nil {
		return &readError{err}
	}
	return errors.Join(c.proveDigests(sums), c.envelope.prove(signed, now))
}

func (c claim) proveToken(k keys) error {
	if c.token == "" {
		return fmt.Errorf("it has neither a signature nor a token (content type %q); set the webhook's secret on the Git server", c.media)
	}
	// Digests have the same length, whatever the length of the secrets.
	got, right := sha256.Sum256([]byte(c.token)), 0
	for _, token := range k.tokens {
		want := sha256.Sum256(token)
		right |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	if right == 0 {
		return errors.New("its X-Gitlab-Token is neither the token nor token.previous of the Secret")
	}
	return nil
}

// proveDigests compares every digest with the right ones. For a form, GitHub signs the body, Gitea and Forgejo the
// payload in it. Neither can be computed from the other without the token.
func (c claim) proveDigests(sums []hash.Hash) error {
	want := make([][]byte, len(sums))
	for i, sum := range sums {
		want[i] = sum.Sum(nil)
	}
	var wrong error
	for _, d := range c.digests {
		if !equalsOne(d.sum, want) && wrong == nil {
			wrong = fmt.Errorf("its %s (content type %q) was not made with the token or token.previous of the Secret, or the body was changed on the way", d.header, c.media)
		}
	}
	return wrong
}

func (e *envelope) prove(signed [2]hash.Hash, now time.Time) error {
	if e == nil {
		return nil
	}
	want, right := [][]byte{signed[0].Sum(nil), signed[1].Sum(nil)}, false
	for _, sum := range e.signatures {
		// A sender that changes its key signs with both.
		right = equalsOne(sum, want) || right
	}
	seconds, err := strconv.ParseInt(e.timestamp, 10, 64)
	switch off := now.Sub(time.Unix(seconds, 0)); {
	case !right:
		return errors.New("its webhook-signature was not made with the signingToken or signingToken.previous of the Secret; these are whsec_ and base64")
	case err != nil || e.id == "" || strings.Contains(e.id, "."):
		// With a dot in it, parts of a signed delivery could pass for a different id.
		return errors.New("its webhook-id or webhook-timestamp is not one")
	case off.Abs() > tolerance:
		return fmt.Errorf("its webhook-timestamp is %s from this clock: let both keep time by NTP", off.Abs().Round(time.Second))
	}
	return nil
}

func equalsOne(sum []byte, want [][]byte) bool {
	right := 0
	for _, w := range want {
		right |= subtle.ConstantTimeCompare(sum, w)
	}
	return right == 1
}

// readError means that a body could not be read, which proves nothing about its sender.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }
