package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/source/webhook"
)

// giteaToken is the secret of the webhooks whose deliveries were recorded.
const giteaToken = "a-secret-of-hooks"

// Deliveries that a real Gitea sent, with all headers. e2e/forge records them (-record), and the names hold its
// version. For a form, Gitea signs only the JSON.
func TestDeliveriesThatAGiteaSent(t *testing.T) {
	recorded, err := filepath.Glob("testdata/gitea-*.http")
	if err != nil || len(recorded) < 2 {
		t.Fatalf("recorded are %v (%v), want a form and JSON at least", recorded, err)
	}
	for _, file := range recorded {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			media := "application/json"
			if bytes.Contains(content, []byte("\r\n\r\npayload=")) {
				media = formType
			}
			for _, test := range []struct {
				token, delivery string
				status          int
			}{
				{giteaToken, string(content), http.StatusAccepted},
				{"another", string(content), http.StatusUnauthorized},
				{giteaToken, strings.Replace(string(content), "main", "mein", 1), http.StatusUnauthorized},
			} {
				var log bytes.Buffer
				told := 0
				handler := webhook.New(webhook.Config{
					Secrets: func(context.Context, string) (webhook.Secrets, bool) { return webhook.Secrets{Token: test.token}, true },
					Notify:  func(string, webhook.Hook) { told++ },
					Now:     time.Now, Log: slog.New(slog.NewTextHandler(&log, nil)),
				})
				request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(test.delivery)))
				if err != nil {
					t.Fatal(err)
				}
				answer := httptest.NewRecorder()
				handler.ServeHTTP(answer, request)
				if answer.Code != test.status || told != map[int]int{http.StatusAccepted: 1}[test.status] {
					t.Errorf("answered %d, and told of %d deliveries; want %d", answer.Code, told, test.status)
				}
				if reason := `its X-Hub-Signature-256 (content type \"` + media + `\") was not made with the token`; test.status != http.StatusAccepted && !strings.Contains(log.String(), reason) {
					t.Errorf("the log does not say %s:\n%s", reason, &log)
				}
			}
		})
	}
}
