package forge_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"berth.dev/berth/source/forge"
)

// documentedAnswers has the operations that the agent uses of each forge, and what it reads of their answers.
var documentedAnswers = map[forge.Provider]map[string]any{
	forge.GitHub: {
		"GET /repos/{owner}/{repo}":                                       fields{},
		"POST /repos/{owner}/{repo}/statuses/{sha}":                       fields{},
		"GET /repos/{owner}/{repo}/pulls":                                 []any{pullRequest},
		"GET /repos/{owner}/{repo}/pulls/{pull_number}":                   pullRequest.with(fields{"mergeable": true, "merge_commit_sha": head}),
		"GET /repos/{owner}/{repo}/issues/{issue_number}/comments":        []any{note},
		"POST /repos/{owner}/{repo}/issues/{issue_number}/comments":       note,
		"PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}":        note,
		"POST /repos/{owner}/{repo}/deployments":                          fields{"id": 5},
		"POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses": fields{},
		"POST /app/installations/{installation_id}/access_tokens":         fields{"token": "ghs_right", "expires_at": "2026-03-04T13:00:00Z"},
	},
	forge.Gitea: {
		"GET /repos/{owner}/{repo}":                          fields{},
		"POST /repos/{owner}/{repo}/statuses/{sha}":          fields{},
		"GET /repos/{owner}/{repo}/pulls":                    []any{pullRequest.with(fields{"merge_base": head})},
		"GET /repos/{owner}/{repo}/issues/{index}/comments":  []any{note},
		"POST /repos/{owner}/{repo}/issues/{index}/comments": note,
		"PATCH /repos/{owner}/{repo}/issues/comments/{id}":   note,
	},
	forge.GitLab: {
		"GET /projects/{id}":                                              fields{},
		"POST /projects/{id}/statuses/{sha}":                              fields{"pipeline_id": 9},
		"GET /projects/{id}/pipelines":                                    []any{fields{"id": 9, "ref": "feature/login"}},
		"GET /projects/{id}/merge_requests":                               []any{fields{"iid": 7, "source_branch": "feature/login", "target_branch": "main", "sha": head, "source_project_id": 1, "target_project_id": 1}},
		"GET /projects/{id}/merge_requests/{merge_request_iid}/merge_ref": fields{"commit_id": head},
		"GET /projects/{id}/merge_requests/{noteable_id}/notes":           []any{note},
		"POST /projects/{id}/merge_requests/{noteable_id}/notes":          note,
		"PUT /projects/{id}/merge_requests/{noteable_id}/notes/{note_id}": note,
		"POST /projects/{id}/deployments":                                 fields{"id": 5, "environment": fields{"id": 6, "external_url": "https://earlier.example.com"}},
		"PUT /projects/{id}/deployments/{deployment_id}":                  fields{"id": 5, "environment": fields{"id": 6, "external_url": "https://earlier.example.com"}},
		"GET /projects/{id}/deployments/{deployment_id}":                  fields{"id": 5, "environment": fields{"id": 6, "external_url": "https://earlier.example.com"}},
		"GET /projects/{id}/environments":                                 []any{fields{"id": 6, "external_url": "https://earlier.example.com"}},
		"GET /projects/{id}/environments/{environment_id}":                environment,
		"PUT /projects/{id}/environments/{environment_id}":                environment,
		"POST /projects/{id}/environments/{environment_id}/stop":          fields{"id": 6, "external_url": "https://earlier.example.com"},
	},
}

// fields are those of an object.
type fields map[string]any

func (f fields) with(more fields) fields {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

var (
	environment = fields{"id": 6, "external_url": "https://earlier.example.com", "cluster_agent": fields{"id": 3}, "kubernetes_namespace": "earlier"}
	note        = fields{"id": 11, "body": "<!-- m -->\ntext"}
	side        = fields{"ref": "feature/login", "sha": head, "repo": fields{"full_name": "acme/posts"}}
	pullRequest = fields{"number": 7, "head": side, "base": side}
)

// document is what is used of an OpenAPI document. Its schemas have no references, and no texts.
type document struct {
	Source     string               `json:"source"`
	License    string               `json:"license"`
	Operations map[string]described `json:"operations"` // by method and path
}

// described is an operation. Needs are the names of the parameters that it cannot do without.
type described struct {
	Query  map[string]schema `json:"query,omitempty"`
	Needs  []string          `json:"needs,omitempty"`
	Body   schema            `json:"body,omitempty"`
	Answer schema            `json:"answer,omitempty"` // without the fields that are not read
}

// inBody is the name of the body among the needs.
const inBody = "the body"

type schema map[string]any

// closed returns a schema that allows no field without a name in it.
func (s schema) closed() schema {
	closed := maps.Clone(s)
	if of, ok := s["properties"].(map[string]any); ok {
		properties := map[string]any{}
		for name, property := range of {
			properties[name] = asSchema(property).closed()
		}
		closed["properties"], closed["additionalProperties"] = properties, false
	}
	if items, ok := s["items"]; ok {
		closed["items"] = asSchema(items).closed()
	}
	return closed
}

func asSchema(value any) schema {
	switch value := value.(type) {
	case schema:
		return value
	case map[string]any:
		return value
	}
	return nil
}

// whole is a document as its forge publishes it: OpenAPI 3 or Swagger 2, as JSON, YAML, or Gitea's template.
type whole struct {
	name string
	root map[string]any
}

var templated = regexp.MustCompile(`\{\{.*?\}\}`)

func readPublished(t *testing.T, file string) whole {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := whole{name: filepath.Base(file)}
	decode := func(text []byte, into any) error { return json.Unmarshal(text, into) }
	if strings.HasSuffix(file, ".yaml") {
		decode = func(text []byte, into any) error { return yaml.Unmarshal(text, into) }
	}
	if err := decode(templated.ReplaceAll(text, nil), &w.root); err != nil {
		t.Fatal(err)
	}
	return w
}

// resolve follows references, such as #/components/schemas/note.
func (w whole) resolve(node any) map[string]any {
	found, _ := node.(map[string]any)
	for {
		to, isReference := found["$ref"].(string)
		if !isReference {
			return found
		}
		found = w.root
		for _, name := range strings.Split(strings.TrimPrefix(to, "#/"), "/") {
			found, _ = found[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)].(map[string]any)
		}
	}
}

func (w whole) at(node any, path ...string) map[string]any {
	found := w.resolve(node)
	for _, name := range path {
		found = w.resolve(found[name])
	}
	return found
}

// extract returns what is used of the document.
func (w whole) extract(t *testing.T, answers map[string]any) document {
	t.Helper()
	title, _ := w.at(w.root, "info")["title"].(string)
	license, _ := w.at(w.root, "info", "license")["name"].(string)
	d := document{Source: title + " (" + w.name + ")", License: license, Operations: map[string]described{}}
	for operation, answer := range answers {
		method, path, _ := strings.Cut(operation, " ")
		item := w.item(path)
		of := w.at(item, strings.ToLower(method))
		if of == nil {
			t.Errorf("the document has no %s", operation)
			continue
		}
		d.Operations[operation] = w.describe(item, of, answer)
	}
	return d
}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// item returns what the document says of a path, whatever the names of the parameters in it.
func (w whole) item(path string) map[string]any {
	anonymous := func(path string) string { return parameter.ReplaceAllString(strings.TrimPrefix(path, "/api/v4"), "{}") }
	for at, item := range w.at(w.root, "paths") {
		if anonymous(at) == anonymous(path) {
			return w.resolve(item)
		}
	}
	return nil
}

func (w whole) describe(item, operation map[string]any, answer any) described {
	d := described{Query: map[string]schema{}}
	shared, _ := item["parameters"].([]any)
	own, _ := operation["parameters"].([]any)
	for _, node := range slices.Concat(shared, own) {
		p := w.resolve(node)
		name, _ := p["name"].(string)
		switch p["in"] {
		case "query":
			d.Query[name] = w.schemaOf(either(p["schema"], p), nil)
		case "body":
			d.Body, name = w.schemaOf(p["schema"], nil), inBody
		default:
			continue
		}
		if p["required"] == true {
			d.Needs = append(d.Needs, name)
		}
	}
	if body := w.at(operation, "requestBody"); body != nil {
		d.Body = w.schemaOf(w.at(body, "content", "application/json")["schema"], nil)
		if body["required"] == true {
			d.Needs = append(d.Needs, inBody)
		}
	}
	responses := w.at(operation, "responses")
	for _, code := range slices.Sorted(maps.Keys(responses)) {
		if response := w.resolve(responses[code]); strings.HasPrefix(code, "2") && d.Answer == nil {
			d.Answer = w.schemaOf(either(w.at(response, "content", "application/json")["schema"], response["schema"]), answer)
		}
	}
	slices.Sort(d.Needs)
	return d
}

func either(a, b any) any {
	if a == nil {
		return b
	}
	return a
}

// schemaOf returns a schema without references. Of an answer, it has what the shape has.
func (w whole) schemaOf(node, shape any) schema {
	from := w.resolve(node)
	if from == nil {
		return nil
	}
	to := schema{}
	for _, key := range []string{"type", "enum", "nullable", "maxLength"} {
		if value, ok := from[key]; ok {
			to[key] = value
		}
	}
	read, isObject := shape.(fields)
	if properties, ok := from["properties"].(map[string]any); ok {
		kept := map[string]any{}
		for name, property := range properties {
			if part, is := read[name]; is || shape == nil {
				kept[name] = w.schemaOf(property, part)
			}
		}
		to["properties"] = kept
	}
	if items, ok := from["items"]; ok {
		var part any
		if list, isList := shape.([]any); isList {
			part = list[0]
		}
		to["items"] = w.schemaOf(items, part)
	}
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		if list, ok := from[key].([]any); ok {
			var variants []any
			for _, variant := range list {
				variants = append(variants, w.schemaOf(variant, shape))
			}
			to[key] = variants
		}
	}
	if required, ok := from["required"].([]any); ok && !isObject {
		to["required"] = required
	}
	return to
}

func (d document) write(t *testing.T, file string) {
	t.Helper()
	text, err := json.MarshalIndent(d, "", " ")
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// newKey returns a private key of a GitHub App.
func newKey(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}
