package forge_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// githubServer answers as GitHub's documentation says:
//   - https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
//   - https://docs.github.com/en/rest/pulls/pulls#list-pull-requests
//   - https://docs.github.com/en/rest/issues/comments
//   - https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app
type githubServer struct {
	*httptest.Server
	statuses []map[string]string
	pulls    []map[string]any
	pull     map[string]any // asked for alone
	comments []gitlabNote   // the same form
	deployed []string       // environment, state and address
	app      *rsa.PublicKey
	tokens   int // of the App
	asked    []string
	answer   func(w http.ResponseWriter, r *http.Request) bool // answers in place of the server
}

func serveGitHub(t *testing.T) *githubServer {
	s := &githubServer{}
	mux := http.NewServeMux()
	handle := func(pattern string, h func(http.ResponseWriter, *http.Request)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /api/v3"+path, func(w http.ResponseWriter, r *http.Request) {
			s.asked = append(s.asked, r.Method+" "+r.URL.Path)
			if token := r.Header.Get("Authorization"); token != "Bearer ghp_right" && token != fmt.Sprintf("Bearer ghs_%d", s.tokens) && !strings.Contains(path, "/app/") {
				refuse(w, http.StatusUnauthorized, `{"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"}`)
				return
			}
			if s.answer == nil || !s.answer(w, r) {
				h(w, r)
			}
		})
	}
	handle("GET /repos/acme/posts", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, map[string]any{}) })
	handle("POST /repos/acme/posts/statuses/{sha}", s.setStatus)
	handle("GET /repos/acme/posts/pulls", func(w http.ResponseWriter, r *http.Request) { linked(w, r, s.pulls) })
	handle("GET /repos/acme/posts/pulls/{number}", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.pull) })
	handle("GET /repos/acme/posts/issues/{number}/comments", func(w http.ResponseWriter, r *http.Request) { linked(w, r, s.comments) })
	handle("POST /repos/acme/posts/issues/{number}/comments", func(w http.ResponseWriter, r *http.Request) {
		var c gitlabNote
		_ = json.NewDecoder(r.Body).Decode(&c)
		c.ID = int64(len(s.comments) + 1)
		s.comments = append(s.comments, c)
		reply(w, http.StatusCreated, c)
	})
	handle("PATCH /repos/acme/posts/issues/comments/{id}", func(w http.ResponseWriter, r *http.Request) {
		i := slices.IndexFunc(s.comments, func(c gitlabNote) bool { return fmt.Sprint(c.ID) == r.PathValue("id") })
		if i < 0 {
			refuse(w, http.StatusNotFound, `{"message": "Not Found"}`)
			return
		}
		_ = json.NewDecoder(r.Body).Decode(&s.comments[i])
		reply(w, http.StatusOK, s.comments[i])
	})
	handle("POST /repos/acme/posts/deployments", s.deploy)
	handle("POST /repos/acme/posts/deployments/{id}/statuses", s.setDeployment)
	handle("POST /app/installations/{id}/access_tokens", s.token)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *githubServer) setStatus(w http.ResponseWriter, r *http.Request) {
	var body map[string]string
	_ = json.NewDecoder(r.Body).Decode(&body)
	switch {
	case strings.Trim(r.PathValue("sha"), "0") == "":
		refuse(w, http.StatusUnprocessableEntity, `{"message": "No commit found for SHA: 0000000000000000000000000000000000000000"}`)
		return
	case !slices.Contains([]string{"error", "failure", "pending", "success"}, body["state"]):
		refuse(w, http.StatusUnprocessableEntity, `{"message": "Validation Failed", "errors": [{"resource": "Status", "code": "custom", "field": "state", "message": "state is not included in the list"}]}`)
		return
	case len([]rune(body["description"])) > 140:
		refuse(w, http.StatusUnprocessableEntity, `{"message": "Validation Failed", "errors": [{"resource": "Status", "code": "custom", "field": "description", "message": "description is too long (maximum is 140 characters)"}]}`)
		return
	}
	s.statuses = append(s.statuses, body)
	reply(w, http.StatusCreated, body)
}

// deploy refuses what waits for other checks: https://docs.github.com/en/rest/deployments/deployments#create-a-deployment
func (s *githubServer) deploy(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	if contexts, given := body["required_contexts"].([]any); !given || len(contexts) > 0 || body["auto_merge"] != false || body["ref"] == "" {
		refuse(w, http.StatusConflict, `{"message": "Conflict: Commit status checks failed for main."}`)
		return
	}
	if strings.Trim(fmt.Sprint(body["ref"]), "0") == "" {
		refuse(w, http.StatusUnprocessableEntity, `{"message": "No ref found for: 0000000000000000000000000000000000000000"}`)
		return
	}
	s.deployed = append(s.deployed, fmt.Sprint(body["environment"]))
	reply(w, http.StatusCreated, map[string]any{"id": len(s.deployed)})
}

func (s *githubServer) setDeployment(w http.ResponseWriter, r *http.Request) {
	var body map[string]string
	_ = json.NewDecoder(r.Body).Decode(&body)
	id, _ := strconv.Atoi(r.PathValue("id"))
	if !slices.Contains([]string{"error", "failure", "inactive", "in_progress", "queued", "pending", "success"}, body["state"]) || len([]rune(body["description"])) > 140 || id < 1 || id > len(s.deployed) {
		refuse(w, http.StatusUnprocessableEntity, `{"message": "Validation Failed"}`)
		return
	}
	s.deployed[id-1] = strings.Fields(s.deployed[id-1])[0] + " " + body["state"] + " " + body["environment_url"]
	reply(w, http.StatusCreated, body)
}

// token gives a token for an hour to whoever signs with the App's key.
func (s *githubServer) token(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if len(parts) != 3 || r.PathValue("id") != "42" {
		refuse(w, http.StatusUnauthorized, `{"message": "A JSON web token could not be decoded"}`)
		return
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claim struct {
		Issued  int64  `json:"iat"`
		Expires int64  `json:"exp"`
		Issuer  string `json:"iss"`
	}
	if json.Unmarshal(claims, &claim) != nil || rsa.VerifyPKCS1v15(s.app, crypto.SHA256, digest[:], signature) != nil || claim.Issuer != "7" || claim.Expires-claim.Issued > 660 {
		refuse(w, http.StatusUnauthorized, `{"message": "A JSON web token could not be decoded"}`)
		return
	}
	s.tokens++
	reply(w, http.StatusCreated, map[string]any{"token": fmt.Sprintf("ghs_%d", s.tokens), "expires_at": time.Unix(claim.Issued, 0).Add(time.Hour)})
}

// linked answers with a page, as https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api says.
func linked[T any](w http.ResponseWriter, r *http.Request, all []T) {
	number, _ := strconv.Atoi(r.URL.Query().Get("page"))
	size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	from, to := min((number-1)*size, len(all)), min(number*size, len(all))
	if to < len(all) {
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=%d>; rel="next"`, r.Host, r.URL.Path, number+1))
	}
	reply(w, http.StatusOK, append([]T{}, all[from:to]...))
}
