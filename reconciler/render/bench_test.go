package render_test

import (
	"fmt"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/render"
)

// application is a folder of n Deployments with all the fields that real ones have.
func application(n int) map[string]string {
	const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
  labels: {app: %[1]s, branch: "${BRANCH_SLUG}"}
spec:
  replicas: ${REPLICAS}
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata:
      labels: {app: %[1]s}
    spec:
      containers:
      - name: app
        image: registry.example.com/posts/%[1]s:${COMMIT_SHORT}
        ports: [{containerPort: 8080}]
        env:
        - {name: HOST, value: "${BRANCH_SLUG}.review.example.com"}
        - {name: PORT, value: "${PORT}"}
        resources: {requests: {cpu: 10m, memory: 64Mi}, limits: {memory: 128Mi}}
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2}
`
	texts := map[string]string{}
	for i := range n {
		texts[fmt.Sprintf("infra/k8s/%d.yaml", i)] = fmt.Sprintf(deployment, fmt.Sprint("app-", i))
	}
	return texts
}

func BenchmarkRender(b *testing.B) {
	for _, n := range []int{12, 5000} {
		texts := application(n)
		b.Run(fmt.Sprintf("plain/%d", n), func(b *testing.B) { benchmark(b, texts, n) })
	}
	texts := application(12)
	var names []string
	for name := range texts {
		names = append(names, strings.TrimPrefix(name, "infra/k8s/"))
	}
	texts["infra/k8s/kustomization.yaml"] = "resources: [" + strings.Join(names, ", ") + "]\n"
	b.Run("kustomize/12", func(b *testing.B) { benchmark(b, texts, 12) })
}

func benchmark(b *testing.B, texts map[string]string, n int) {
	tree := files(texts)
	b.ReportAllocs()
	for b.Loop() {
		result, err := render.Render(b.Context(), tree, options())
		if err != nil || result.Set.Len() != n {
			b.Fatal(result.Set.Len(), err)
		}
	}
}

// BenchmarkSecrets renders Deployments beside encrypted Secrets, which must not cost a second build.
func BenchmarkSecrets(b *testing.B) {
	texts, opens := application(12), decrypter{}
	var names []string
	for name := range texts {
		names = append(names, strings.TrimPrefix(name, "infra/k8s/"))
	}
	var env strings.Builder
	for i := range 20 {
		var values strings.Builder
		for j := range 20 {
			fmt.Fprintf(&values, "  value%d: «secret number %d of %d, which is long»\n", j, j, i)
		}
		name := fmt.Sprintf("s%d.yaml", i)
		texts["infra/k8s/"+name] = encrypted
		opens["infra/k8s/"+name] = strings.Replace(secretHeader, "name: api", fmt.Sprintf("name: s%d", i), 1) + "stringData:\n" + values.String()
		names = append(names, name)
		fmt.Fprintf(&env, "V%d=«value %d of the generator»\n", i, i)
	}
	texts["infra/k8s/db.env"], opens["infra/k8s/db.env"] = "A=ENC[AES256_GCM,data:eA==]\n", env.String()
	o := options()
	o.Decrypter = opens
	run := func(b *testing.B) {
		tree := files(texts)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := render.Render(b.Context(), tree, o); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("plain", run)
	texts["infra/k8s/kustomization.yaml"] = "resources: [" + strings.Join(names, ", ") + "]\nsecretGenerator: [{name: db, envs: [db.env]}]\n"
	b.Run("kustomize", run)
}
