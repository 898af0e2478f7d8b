package preview

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestValues(t *testing.T) {
	subject := Subject{Repository: "posts", Entry: "review", Branch: "feature/login", Namespace: "ns", Commit: commit("a")}
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
		"LITERAL":  "${BRANCH} ${HOME} $uri ${HOST}", // other variables of the entry are not replaced: they have no order
		"BRANCH":   "feature/login",
	} {
		if values[name] != want {
			t.Errorf("%s is %v (%T), want %v (%T)", name, values[name], values[name], want, want)
		}
	}
	if got := expand("https://${HOST}/${REPLICAS}", values); got != "https://feature-login-hxtcaw.example.com/3" {
		t.Errorf("the link is %q", got)
	}
}
