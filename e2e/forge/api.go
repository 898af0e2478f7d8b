package forge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// call sends a request to Gitea's API, and decodes the answer unless into is nil. A *[]byte gets the answer as it is.
func (g *Gitea) call(ctx context.Context, method, path string, body, into any) error {
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, g.URL+"/api/v1"+path, &content)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if g.token != "" {
		request.Header.Set("Authorization", "token "+g.token)
	}
	return answered(request, into)
}

// Token creates an access token with scopes.
func (g *Gitea) Token(ctx context.Context, name string, scopes ...string) (string, error) {
	var content bytes.Buffer
	if err := json.NewEncoder(&content).Encode(map[string]any{"name": name, "scopes": scopes}); err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/api/v1/users/"+owner+"/tokens", &content)
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.SetBasicAuth(owner, password) // a token cannot create tokens
	var token struct {
		SHA1 string `json:"sha1"`
	}
	err = answered(request, &token)
	return token.SHA1, err
}

func answered(request *http.Request, into any) error {
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("%s %s: %s: %s", request.Method, request.URL.Path, answer.Status, tail(text))
	case into == nil:
		return nil
	}
	if raw, ok := into.(*[]byte); ok {
		*raw = text
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return errors.Join(fmt.Errorf("%s %s", request.Method, request.URL.Path), err)
	}
	return nil
}
