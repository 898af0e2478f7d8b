package apply

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Unretried returns a transport that passes an answer with the header Retry-After to the caller. By default, client-go would
// wait and retry within the same step, which blocks other steps.
func Unretried(next http.RoundTripper) http.RoundTripper { return unretried{next} }

type unretried struct{ next http.RoundTripper }

// maxAnswer limits how much is read of an answer that only says "later".
const maxAnswer = 64 << 10

func (u unretried) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := u.next.RoundTrip(r)
	if err != nil {
		return answer, err
	}
	seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if err != nil || answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode < http.StatusInternalServerError {
		return answer, nil
	}
	return later(answer, seconds)
}

// later copies the waiting time from the header into the body, where the API server's own answers have it.
func later(answer *http.Response, seconds int) (*http.Response, error) {
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	var status metav1.Status
	if json.Unmarshal(text, &status) != nil || status.Status != metav1.StatusFailure {
		status = metav1.Status{Message: http.StatusText(answer.StatusCode), Reason: metav1.StatusReasonServiceUnavailable}
		if answer.StatusCode == http.StatusTooManyRequests {
			status.Reason = metav1.StatusReasonTooManyRequests
		}
	}
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	status.Status, status.Code = metav1.StatusFailure, int32(answer.StatusCode)
	if status.Details == nil {
		status.Details = &metav1.StatusDetails{}
	}
	status.Details.RetryAfterSeconds = int32(seconds)
	if text, err = json.Marshal(status); err != nil {
		return nil, err
	}
	answer.Header = answer.Header.Clone()
	answer.Header.Del("Retry-After")
	answer.Header.Set("Content-Type", "application/json")
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	answer.Header.Set("Content-Length", strconv.Itoa(len(text)))
	return answer, nil
}
