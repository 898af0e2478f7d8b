package secrets

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// oauthToken is what OAuth 2.0 servers give.
type oauthToken struct {
	Value   string `json:"access_token"`
	Seconds int    `json:"expires_in"`
}

func (t *oauthToken) read(content []byte) error {
	if err := json.Unmarshal(content, t); err != nil {
		return err
	}
	if t.Value == "" {
		return errors.New("it holds no token")
	}
	return nil
}

// end returns until when the token is good.
func (t *oauthToken) end(now time.Time) time.Time {
	return now.Add(time.Duration(t.Seconds) * time.Second)
}

// askOAuth asks an OAuth 2.0 server for a token.
func (c caller) askOAuth(address string, form url.Values) (oauthToken, error) {
	var token oauthToken
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	err := c.exchange(http.MethodPost, address, header, []byte(form.Encode()), func(content []byte, _ http.Header) error {
		return token.read(content)
	})
	return token, err
}
