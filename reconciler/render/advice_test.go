package render_test

import (
	"slices"
	"strings"
	"testing"
)

func TestImagesThatChangeUnseenAreWarnedOf(t *testing.T) {
	for image, warned := range map[string]bool{
		"nginx": true, "nginx:latest": true, "registry:5000/nginx": true, "a/b:latest": true,
		"nginx:1": false, "registry:5000/nginx:1": false, "nginx@sha256:12": false, "nginx:latest@sha256:12": false, "app:${COMMIT_SHORT}": false,
	} {
		if got := advice(t, one("apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\nspec:\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          containers:\n          - name: api\n            image: "+image+"\n")); (len(got) == 1) != warned {
			t.Errorf("%s: got %q", image, got)
		}
	}
	got := advice(t, one("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {initContainers: [{name: one, image: 'a:latest'}], containers: [{name: two, image: b}]}}}\n"))
	want := "infra/k8s/x.yaml:4: Deployment/a: container two has the image b, so what runs does not follow Git, and a rollback does not bring the old one back; name a tag that is never pushed again, such as ${COMMIT_SHORT}"
	if len(got) != 2 || got[1] != want {
		t.Errorf("got %q\nwant %s", got, want)
	}
}

func TestSecretsInPlainAreWarnedOf(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		warned bool
	}{
		"stringData":      {secretHeader + "stringData: {a: b}\n", true},
		"data":            {secretHeader + "data: {a: Yg==}\n", true},
		"an empty one":    {secretHeader + "stringData: {a: ''}\n", false},
		"without values":  {secretHeader + "type: kubernetes.io/service-account-token\n", false},
		"of variables":    {secretHeader + "stringData: {a: '${BRANCH}'}\n", false},
		"of another kind": {strings.Replace(secretHeader, "v1", "example.com/v1", 1) + "stringData: {a: b}\n", false},
	} {
		if got := advice(t, one(c.text)); slices.ContainsFunc(got, func(w string) bool { return strings.Contains(w, "are in Git unencrypted") }) != c.warned {
			t.Errorf("%s: got %q", name, got)
		}
	}
	tree, o := generated("secretGenerator: [{name: db, envs: [db.env], literals: [a=b]}]")
	if got := warned(rendered(t, tree, o)); len(got) > 0 {
		t.Errorf("of encrypted files: got %q", got)
	}
	tree, o = generated("secretGenerator: [{name: db, literals: [a=b]}]")
	if got := warned(rendered(t, tree, o)); len(got) != 1 {
		t.Errorf("of literals: got %q", got)
	}
}

func advice(t *testing.T, tree tree) []string {
	t.Helper()
	return warned(rendered(t, tree, options()))
}
