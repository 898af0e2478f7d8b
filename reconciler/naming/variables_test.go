package naming

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestVariables(t *testing.T) {
	subject := Subject{
		Repository: "posts", Entry: "review", Branch: "feature/login", Namespace: "posts-feature-login-hxtcaw",
		Commit: "1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b",
	}
	want := map[string]string{
		"BRANCH":              "feature/login",
		"BRANCH_SLUG":         "feature-login-hxtcaw",
		"COMMIT":              "1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b",
		"COMMIT_SHORT":        "1a2b3c4d",
		"NAMESPACE":           "posts-feature-login-hxtcaw",
		"ENVIRONMENT":         "posts.review.feature-login-hxtcaw",
		"ENTRY":               "review",
		"REPOSITORY":          "posts",
		"CI_COMMIT_BRANCH":    "feature/login",
		"CI_COMMIT_REF_NAME":  "feature/login",
		"CI_COMMIT_REF_SLUG":  "feature-login",
		"CI_COMMIT_SHA":       "1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b",
		"CI_COMMIT_SHORT_SHA": "1a2b3c4d",
		"CI_ENVIRONMENT_NAME": "review/feature-login",
		"CI_ENVIRONMENT_SLUG": "review-feature-lo-qiv329",
	}
	if diff := cmp.Diff(want, Variables(subject)); diff != "" {
		t.Errorf("of a pattern's branch (-want +got):\n%s", diff)
	}
	subject.Entry, subject.Literal = "production", true
	if got := Variables(subject); got["CI_ENVIRONMENT_NAME"] != "production" || got["CI_ENVIRONMENT_SLUG"] != "production" {
		t.Errorf("of a named branch, GitLab's environment is %q with the slug %q, want production for both",
			got["CI_ENVIRONMENT_NAME"], got["CI_ENVIRONMENT_SLUG"])
	}
}

// A variable of an entry must not have a built-in's name. The list in the CRD is written by hand.
func TestEveryBuiltInVariableIsReserved(t *testing.T) {
	crd, err := os.ReadFile("../../deploy/crds/berth.dev_repositories.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name := range Variables(Subject{}) {
		if !regexp.MustCompile(`''` + name + `''`).Match(crd) {
			t.Errorf("the CRD does not reserve the name %s", name)
		}
	}
}

func TestValues(t *testing.T) {
	subject := Subject{Repository: "posts", Entry: "review", Branch: "feature/login", Namespace: "ns", Commit: strings.Repeat("a", 40)}
	values := Values(subject, map[string]intstr.IntOrString{
		"HOST":     intstr.FromString("${BRANCH_SLUG}.example.com"),
		"REPLICAS": intstr.FromInt32(3),
		"DEBUG":    intstr.FromString("true"),
		"QUIET":    intstr.FromString("false"),
		"VERSION":  intstr.FromString("08"),
		"LITERAL":  intstr.FromString("$${BRANCH} ${HOME} $uri ${HOST}"),
	})
	for name, want := range map[string]any{
		"HOST":     "feature-login-hxtcaw.example.com",
		"REPLICAS": int64(3),
		"DEBUG":    true,
		"QUIET":    false,
		"VERSION":  "08",
		"LITERAL":  "${BRANCH} ${HOME} $uri ${HOST}", // other variables of the entry are not replaced, because they have no order
		"BRANCH":   "feature/login",
	} {
		if values[name] != want {
			t.Errorf("%s is %v (%T), want %v (%T)", name, values[name], values[name], want, want)
		}
	}
	if got := Expand("https://${HOST}/${REPLICAS}", values); got != "https://feature-login-hxtcaw.example.com/3" {
		t.Errorf("the link is %q", got)
	}
}
