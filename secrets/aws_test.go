package secrets

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// The example is AWS': https://docs.aws.amazon.com/general/latest/gr/sigv4-create-canonical-request.html
func TestSignatureOfAWS(t *testing.T) {
	credentials := awsCredentials{id: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	request := signedRequest{
		method: http.MethodGet,
		url:    &url.URL{Scheme: "https", Host: "iam.amazonaws.com", Path: "/", RawQuery: "Action=ListUsers&Version=2010-05-08"},
		header: map[string]string{"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
	}
	got := credentials.sign(request, scope{time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC), "us-east-1", "iam"}).Get("Authorization")
	want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, " +
		"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
