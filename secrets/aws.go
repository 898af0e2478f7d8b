package secrets

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// awsRegion keeps a host's name from being more than that.
var awsRegion = regexp.MustCompile(`^[a-z0-9-]+$`)

// awsHost returns the address of a service in a region.
func awsHost(service, region string) string {
	host := service + "." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	return host
}

// awsCredentials are those of a user, or of a session.
type awsCredentials struct{ id, secret, session string }

// parseAWS reads aws_access_key_id, aws_secret_access_key and perhaps aws_session_token.
func parseAWS(content []byte) (awsCredentials, error) {
	var file struct {
		ID      string `yaml:"aws_access_key_id"`
		Secret  string `yaml:"aws_secret_access_key"`
		Session string `yaml:"aws_session_token"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil || file.ID == "" || file.Secret == "" {
		return awsCredentials{}, errors.New("it does not hold aws_access_key_id and aws_secret_access_key")
	}
	return awsCredentials{file.ID, file.Secret, file.Session}, nil
}

// openAWS asks AWS KMS. https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
func (s *remoteService) openAWS(r recipient) ([]byte, error) {
	if r.remote.role != "" {
		return nil, &Error{Reason: NotAllowed, Detail: shortened(r.name) + " through the role " + shortened(printable(r.remote.role)) + ", and roles that files name are never assumed"}
	}
	ciphertext, err := base64.StdEncoding.DecodeString(r.dataKey)
	if err != nil {
		return nil, errBadDataKey
	}
	body, err := json.Marshal(struct {
		KeyID   string            `json:"KeyId"`
		Blob    []byte            `json:"CiphertextBlob"`
		Context map[string]string `json:"EncryptionContext,omitempty"`
	}{r.remote.id, ciphertext, r.remote.context})
	if err != nil {
		return nil, errBadDataKey
	}
	region := arnForm.FindStringSubmatch(r.remote.id)[2]
	credentials := s.credentials.aws
	if credentials.secret == "" {
		if credentials, err = s.identity.awsCredentials(region); err != nil {
			return nil, err
		}
	}
	request := signedRequest{method: http.MethodPost, url: &url.URL{Scheme: "https", Host: awsHost("kms", region), Path: "/"}, body: body,
		header: map[string]string{"content-type": "application/x-amz-json-1.1", "x-amz-target": "TrentService.Decrypt"}}
	header := credentials.sign(request, scope{s.now(), region, "kms"})
	var answer struct {
		Plaintext []byte `json:"Plaintext"`
	}
	if err := s.post(request.url.String(), header, body, &answer); err != nil {
		return nil, err
	}
	return answer.Plaintext, nil
}

// signedRequest is what a signature covers. The names of its header are in lower case.
type signedRequest struct {
	method string
	url    *url.URL
	header map[string]string
	body   []byte
}

// scope is what a signature is good for.
type scope struct {
	at              time.Time
	region, service string
}

// sign returns the header of the request with AWS' Signature Version 4.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (c awsCredentials) sign(r signedRequest, s scope) http.Header {
	stamp := s.at.UTC().Format("20060102T150405Z")
	header := maps.Clone(r.header)
	header["host"], header["x-amz-date"] = r.url.Host, stamp
	if c.session != "" {
		header["x-amz-security-token"] = c.session
	}
	names := slices.Sorted(maps.Keys(header))
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.method, r.url.EscapedPath(), r.url.Query().Encode())
	for _, name := range names {
		fmt.Fprintf(&canonical, "%s:%s\n", name, header[name])
	}
	signed := strings.Join(names, ";")
	fmt.Fprintf(&canonical, "\n%s\n%x", signed, sha256.Sum256(r.body))

	day := stamp[:8]
	place := day + "/" + s.region + "/" + s.service + "/aws4_request"
	text := fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", stamp, place, sha256.Sum256([]byte(canonical.String())))
	key := []byte("AWS4" + c.secret)
	for _, part := range []string{day, s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	result := http.Header{}
	for _, name := range names {
		if name != "host" { // the client sends it by itself
			result.Set(name, header[name])
		}
	}
	result.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		c.id, place, signed, hex.EncodeToString(mac(key, text))))
	return result
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
