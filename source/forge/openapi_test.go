package forge_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"

	"berth.dev/berth/source/forge"
)

var (
	published = flag.String("published", "", "check against a whole published document: PROVIDER=FILE")
	extract   = flag.Bool("extract", false, "write what is used of the document into testdata/openapi")
)

// uses has everything that the agent asks of a forge, by the method of the client that asks for it.
var uses = []struct {
	method string
	use    func(t *testing.T, c *forge.Client) error
}{
	{"SetStatus", func(t *testing.T, c *forge.Client) error {
		for _, weight := range []forge.Weight{forge.Informative, forge.Blocking} {
			pipeline := int64(0)
			for _, state := range []forge.State{forge.Pending, forge.Running, forge.Failed, forge.Canceled, forge.Success} {
				var err error
				s := forge.Status{Commit: head, Branch: "feature/login", Name: "berth/review", State: state, Weight: weight, Description: strings.Repeat("long ", 99), Link: "https://side.example.com", Pipeline: pipeline}
				if pipeline, err = c.SetStatus(t.Context(), s); err != nil {
					return err
				}
			}
		}
		return nil
	}},
	{"MergeRequests", func(t *testing.T, c *forge.Client) error {
		_, err := c.MergeRequests(t.Context())
		return err
	}},
	{"Merge", func(t *testing.T, c *forge.Client) error {
		_, err := c.Merge(t.Context(), forge.MergeRequest{Number: 7, Head: head})
		return err
	}},
	{"PutNote", func(t *testing.T, c *forge.Client) error {
		_, created := c.PutNote(t.Context(), 7, 0, "<!-- new -->", "<!-- new -->\ntext")
		if _, edited := c.PutNote(t.Context(), 7, 11, "<!-- m -->", "<!-- m -->\ntext"); edited != nil {
			return edited
		}
		return created
	}},
	{"SetDeployment", func(t *testing.T, c *forge.Client) error {
		id := int64(0)
		for _, state := range []forge.State{forge.Pending, forge.Running, forge.Failed, forge.Canceled, forge.Success} {
			var err error
			d := forge.Deployment{Commit: head, Branch: "feature/login", Environment: "review/feature-login", State: state, Description: strings.Repeat("long ", 99), Link: "https://side.example.com", Namespace: "posts-side", ID: id}
			if id, err = c.SetDeployment(t.Context(), d); err != nil {
				return err
			}
		}
		return nil
	}},
	{"EndDeployment", func(t *testing.T, c *forge.Client) error {
		last := forge.Deployment{Commit: head, Branch: "feature/login", Environment: "review/feature-login", ID: 5}
		if err := c.EndDeployment(t.Context(), last); err != nil {
			return err
		}
		last.Shared = true
		return c.EndDeployment(t.Context(), last)
	}},
	{"Probe", func(t *testing.T, c *forge.Client) error {
		for _, use := range []forge.Use{forge.UseStatuses, forge.UseNotes, forge.UseDeployments} {
			if err := c.Probe(t.Context(), use); err != nil && forge.ReasonOf(err) != forge.Invalid { // Gitea has no deployments
				return err
			}
		}
		return nil
	}},
}

// Every request of the agent is one that the forge's own OpenAPI document describes: its path, its query, and the fields of its
// body. So is every field that it reads of the answers.
func TestRequestsAreThoseOfThePublishedDocuments(t *testing.T) {
	for provider, answers := range documentedAnswers {
		t.Run(string(provider), func(t *testing.T) {
			d := documentOf(t, provider)
			s := &scribe{answers: answers}
			config := forge.Config{Provider: provider, URL: "https://forge.example.com", RepositoryURL: "https://forge.example.com/acme/posts.git", Credentials: forge.Credentials{Token: "right"}, Transport: s}
			begins(t, s, config)
			done := map[string]bool{}
			for _, sent := range s.sent {
				done[sent.operation] = true
				for _, problem := range d.problems(sent) {
					t.Errorf("%s %s: %s", sent.method, sent.url, problem)
				}
			}
			for _, operation := range slices.Sorted(maps.Keys(answers)) {
				if !done[operation] {
					t.Errorf("nothing asks for %s", operation)
				}
			}
		})
	}
}

// begins asks for everything, as a user and, of GitHub, as an App. It fails if a method of the client is left out.
func begins(t *testing.T, s *scribe, config forge.Config) {
	t.Helper()
	c := client(t, config)
	left := map[string]bool{}
	for method := range reflect.TypeFor[*forge.Client]().Methods() {
		left[method.Name] = method.Name != "Close" && method.Name != "Address"
	}
	for _, u := range uses {
		left[u.method] = false
		if err := u.use(t, c); err != nil && forge.ReasonOf(err) != forge.Invalid {
			t.Errorf("%s: %v", u.method, err)
		}
	}
	for method, missing := range left {
		if missing {
			t.Errorf("the requests of %s are not checked: add it to uses", method)
		}
	}
	switch config.Provider {
	case forge.GitHub:
		config.Credentials = forge.Credentials{App: forge.App{ID: "7", Installation: "42", Key: newKey(t)}}
		if _, err := client(t, config).SetStatus(t.Context(), forge.Status{Commit: head, State: forge.Success}); err != nil {
			t.Errorf("as an App: %v", err)
		}
	case forge.GitLab:
		// An environment that has its address is read, and so is a deployment that has its state.
		if _, err := c.SetDeployment(t.Context(), forge.Deployment{Commit: head, Branch: "side", Environment: "review/side", State: forge.Success, Link: "https://earlier.example.com", Namespace: "posts-side"}); err != nil {
			t.Error(err)
		}
		s.refuses = "PUT /projects/{id}/deployments/{deployment_id}"
		if _, err := c.SetDeployment(t.Context(), forge.Deployment{Commit: head, Environment: "review/side", State: forge.Success, ID: 5}); err != nil {
			t.Error(err)
		}
	}
}

// scribe is a forge that notes down the requests, and answers with what the agent reads of answers.
type scribe struct {
	answers map[string]any // by operation
	refuses string         // an operation
	sent    []sentRequest
}

// sentRequest is a request of the agent.
type sentRequest struct {
	method, url string
	operation   string // as the document names it; empty: it has none
	query       map[string][]string
	body        []byte
	answer      []byte // what the agent reads of it
}

func (s *scribe) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := sentRequest{method: r.Method, url: r.URL.String(), query: r.URL.Query()}
	if r.Body != nil {
		var err error
		if sent.body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	_, path, _ := strings.Cut(r.URL.EscapedPath(), "/api/")
	_, path, _ = strings.Cut(path, "/") // the version
	sent.operation = operationOf(r.Method, "/"+path, s.answers)
	var err error
	if sent.answer, err = json.Marshal(s.answers[sent.operation]); err != nil {
		return nil, err
	}
	s.sent = append(s.sent, sent)
	status, text := http.StatusOK, sent.answer
	if sent.operation == s.refuses {
		status, text = http.StatusBadRequest, []byte(`{"message": "refused"}`)
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, nil
}

// operationOf returns the operation of a path, such as "GET /projects/{id}". A literal part is preferred to a parameter.
func operationOf(method, path string, among map[string]any) string {
	best, literals := "", -1
	for operation := range among {
		of, template, _ := strings.Cut(operation, " ")
		want, got := strings.Split(template, "/"), strings.Split(path, "/")
		if of != method || len(want) != len(got) {
			continue
		}
		same := 0
		for i := range want {
			switch {
			case want[i] == got[i]:
				same++
			case !strings.HasPrefix(want[i], "{"):
				same = -len(want)
			}
		}
		if same > literals {
			best, literals = operation, same
		}
	}
	return best
}

// documentOf returns what is used of a provider's document.
func documentOf(t *testing.T, provider forge.Provider) document {
	t.Helper()
	file := filepath.Join("testdata", "openapi", strings.ToLower(string(provider))+".json")
	if of, whole, given := strings.Cut(*published, "="); given && of == string(provider) {
		d := readPublished(t, whole).extract(t, documentedAnswers[provider])
		if *extract {
			d.write(t, file)
		}
		return d
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// problems returns where a request, or what is read of its answer, differs from the document.
func (d document) problems(sent sentRequest) (list []string) {
	described, ok := d.Operations[sent.operation]
	if !ok {
		return []string{"the document has no such operation"}
	}
	for name, values := range sent.query {
		parameter, ok := described.Query[name]
		if !ok {
			list = append(list, "the query has no parameter "+name)
			continue
		}
		list = append(list, parameter.problems("query."+name, parsed(parameter, values[0]))...)
	}
	for _, name := range described.Needs {
		if _, given := sent.query[name]; !given && (name != inBody || len(sent.body) == 0) {
			list = append(list, name+" is missing")
		}
	}
	switch {
	case len(sent.body) > 0 && described.Body == nil:
		list = append(list, "the document has no body")
	case len(sent.body) > 0:
		list = append(list, described.Body.problemsIn("body", sent.body)...)
	}
	if described.Answer != nil {
		list = append(list, described.Answer.problemsIn("answer", sent.answer)...)
	}
	return list
}

// problemsIn returns where a JSON text differs from a schema. It may have no field without a name there.
func (s schema) problemsIn(at string, text []byte) []string {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return []string{err.Error()}
	}
	return s.closed().problems(at, value)
}

// parsed returns the value of a parameter, which stands as a text in the query.
func parsed(s schema, text string) any {
	switch s["type"] {
	case "integer":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	case "boolean":
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	case "array":
		return []any{text}
	}
	return text
}

// problems returns where a value differs from a schema.
func (s schema) problems(at string, value any) (list []string) {
	text, err := json.Marshal(s)
	if err != nil {
		return []string{err.Error()}
	}
	var of spec.Schema
	if err := json.Unmarshal(text, &of); err != nil {
		return []string{err.Error()}
	}
	for _, err := range validate.NewSchemaValidator(&of, nil, at, strfmt.Default).Validate(value).Errors {
		list = append(list, err.Error())
	}
	return list
}
