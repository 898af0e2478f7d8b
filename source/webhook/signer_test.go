package webhook_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// The senders of these tests have their own implementation of signatures, after RFC 2104, so that they do not repeat a
// mistake of the receiver.

func hmacSHA256(key, message []byte) []byte {
	const block = 64
	if len(key) > block {
		short := sha256.Sum256(key)
		key = short[:]
	}
	inner, outer := make([]byte, block), make([]byte, block)
	for i := range block {
		inner[i], outer[i] = 0x36, 0x5c
		if i < len(key) {
			inner[i] ^= key[i]
			outer[i] ^= key[i]
		}
	}
	digest := sha256.Sum256(append(inner, message...))
	digest = sha256.Sum256(append(outer, digest[:]...))
	return digest[:]
}

// delivery is a Git server's request.
type delivery struct {
	method, path string
	header       http.Header
	body         string
}

// push is a delivery without any credential.
func push(body string) delivery {
	return delivery{method: http.MethodPost, path: "/hooks/posts", body: body,
		header: http.Header{"Content-Type": {"application/json"}}}
}

func (d delivery) to(path string) delivery { d.path = path; return d }

func (d delivery) by(method string) delivery { d.method = method; return d }

// with adds a header, given in whatever case.
func (d delivery) with(name, value string) delivery {
	d.header = d.header.Clone()
	d.header.Add(name, value)
	return d
}

const formType = "application/x-www-form-urlencoded"

// as returns the delivery with a form as its body and its original signature.
func (d delivery) as(form string) delivery {
	d.header = d.header.Clone()
	d.header.Set("Content-Type", formType)
	d.body = form
	return d
}

func (d delivery) digest(token string) string {
	return hex.EncodeToString(hmacSHA256([]byte(token), []byte(d.body)))
}

// fromGitHub signs as GitHub does. It includes the older signature, which proves nothing.
func (d delivery) fromGitHub(event, token string) delivery {
	return d.with("X-GitHub-Event", event).with("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958").
		with("X-Hub-Signature", "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6").
		with("X-Hub-Signature-256", "sha256="+d.digest(token))
}

// fromGitea signs as Gitea does, in the words of several others too.
func (d delivery) fromGitea(event, token string) delivery {
	return d.with("X-Gitea-Event", event).with("X-Gitea-Event-Type", event).with("X-Gitea-Signature", d.digest(token)).
		with("X-Gogs-Event", event).with("X-Gogs-Signature", d.digest(token)).
		fromGitHub(event, token)
}

func (d delivery) fromForgejo(event, token string) delivery {
	return d.with("X-Forgejo-Event", event).with("X-Forgejo-Signature", d.digest(token)).fromGitea(event, token)
}

// fromGitLab is a delivery with a secret token, or none.
func (d delivery) fromGitLab(event, token string) delivery {
	d = d.with("X-Gitlab-Event", event).with("X-Gitlab-Event-UUID", "13792a34-cac6-4fda-95a8-c58e00a3954e").
		with("X-Gitlab-Webhook-UUID", "02affd2d-2cba-4033-917d-ec22d5dc4b38").with("X-Gitlab-Instance", "https://gitlab.example.com").
		with("Idempotency-Key", "f5e57a38-56cd-4b5c-9c3b-b5b1b8c0c1d7")
	if token != "" {
		d = d.with("X-Gitlab-Token", token)
	}
	return d
}

// signed adds the signature headers of Standard Webhooks, which GitLab sends with a signing token.
func (d delivery) signed(id string, at time.Time, tokens ...string) delivery {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	d = d.with("webhook-id", id).with("webhook-timestamp", timestamp)
	signatures := ""
	for _, token := range tokens {
		key, err := base64.StdEncoding.DecodeString(token[len("whsec_"):])
		if err != nil {
			panic(err)
		}
		signatures += " v1," + base64.StdEncoding.EncodeToString(hmacSHA256(key, []byte(id+"."+timestamp+"."+d.body)))
	}
	return d.with("webhook-signature", signatures[1:])
}

// The signer itself must match the examples in GitHub's documentation and in Standard Webhooks' own tests.
func TestTheSignerOfTheseTestsSignsAsTheSendersDo(t *testing.T) {
	hello := push("Hello, World!").fromGitHub("push", "It's a Secret to Everybody")
	if got := hello.header.Get("X-Hub-Signature-256"); got != "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" {
		t.Errorf("GitHub's example is signed with %s", got)
	}
	test := push(`{"test": 2432232314}`).signed("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if got := test.header.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("Standard Webhooks' example is signed with %s", got)
	}
}
