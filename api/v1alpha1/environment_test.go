package v1alpha1_test

import (
	"maps"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

const goodEnvironment = `
apiVersion: berth.dev/v1alpha1
kind: Environment
metadata: {name: posts.review.feature-login-4f7k2a, namespace: default}
spec:
  repository: posts
  entry: review
  branch: feature/login
  namespace: posts-feature-login-4f7k2a
  onRemoval: Delete
  commit: 1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b
`

func TestEnvironment(t *testing.T) {
	cases := map[string]struct {
		name    string
		spec    string // merged into goodEnvironment's spec
		refused string
	}{
		"as the design has it":    {},
		"of another repository":   {spec: `{repository: comments}`, refused: `metadata.name must be <repository>.<entry>.<branch slug>`},
		"of another entry":        {spec: `{entry: production}`, refused: `metadata.name must be <repository>.<entry>.<branch slug>`},
		"with a long name":        {name: "posts.review." + strings.Repeat("a", 51), refused: `at most 63 characters`},
		"without a branch":        {spec: `{branch: ""}`, refused: `spec.branch`},
		"in no namespace":         {spec: `{namespace: ""}`, refused: `spec.namespace`},
		"in two namespaces":       {spec: `{namespace: a.b}`, refused: `spec.namespace`},
		"at a short commit":       {spec: `{commit: 1a2b3c4d}`, refused: `commit must be a full commit id`},
		"at a SHA-256 commit":     {spec: `{commit: ` + strings.Repeat("1a2b", 16) + `}`},
		"pinned":                  {spec: `{pin: ` + strings.Repeat("1a2b", 10) + `, suspend: true}`},
		"pinned to a branch":      {spec: `{pin: main}`, refused: `pin must be a full commit id`},
		"with an unknown removal": {spec: `{onRemoval: Keep}`, refused: `spec.onRemoval`},
	}
	api := connect(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			environment := parse(t, goodEnvironment)
			if c.name != "" {
				environment.SetName(c.name)
			}
			maps.Copy(environment.Object["spec"].(map[string]any), values(t, c.spec))
			expect(t, api.Create(t.Context(), environment, client.DryRunAll), c.refused)
		})
	}
}

func TestEnvironmentIdentityCannotBeChanged(t *testing.T) {
	cases := map[string]struct {
		spec    string
		refused string
	}{
		"repository":      {spec: `{repository: comments}`, refused: `repository cannot be changed`},
		"entry":           {spec: `{entry: production}`, refused: `entry cannot be changed`},
		"branch":          {spec: `{branch: main}`, refused: `branch cannot be changed`},
		"namespace":       {spec: `{namespace: posts}`, refused: `namespace cannot be changed`},
		"cluster":         {spec: `{cluster: staging}`, refused: `cluster cannot be changed`},
		"commit":          {spec: `{commit: ` + strings.Repeat("9f8e", 10) + `}`},
		"a person's part": {spec: `{pin: ` + strings.Repeat("9f8e", 10) + `, suspend: true}`},
		"the entry's":     {spec: `{onRemoval: Orphan, serviceAccountName: deployer}`},
	}
	api := connect(t)
	before := parse(t, goodEnvironment)
	if err := api.Create(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			after := before.DeepCopy()
			maps.Copy(after.Object["spec"].(map[string]any), values(t, c.spec))
			expect(t, api.Update(t.Context(), after, client.DryRunAll), c.refused)
		})
	}
}

func TestTheClusterOfAnEnvironmentCannotBeChanged(t *testing.T) {
	api := connect(t)
	environment := parse(t, goodEnvironment)
	environment.SetName("posts.review.far")
	set(t, environment, "staging", "spec", "cluster")
	if err := api.Create(t.Context(), environment); err != nil {
		t.Fatal(err)
	}
	for _, cluster := range []any{"production", nil} {
		moved := environment.DeepCopy()
		set(t, moved, cluster, "spec", "cluster")
		expect(t, api.Update(t.Context(), moved, client.DryRunAll), `cluster cannot be changed`)
	}
}
