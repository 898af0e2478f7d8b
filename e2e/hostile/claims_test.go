package hostile

import (
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
)

// A branch claims what all environments share: production's host, a port of the nodes, the proxy's configuration.
func TestClaims(t *testing.T) {
	t.Parallel()
	posts := begins(t, "claims", func(r *v1alpha1.Repository) {
		r.Spec.Environments[1].AllowedHosts = []string{"*.${BRANCH_SLUG}.review.example.com"}
	})
	const ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: evil\n"
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: evil}\nspec:\n"
	rule := func(host string) string {
		return "spec:\n  rules:\n  - host: \"" + host + "\"\n    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}]}\n"
	}
	for _, row := range []attempt{
		{"an Ingress with production's host", map[string]string{"k8s/evil.yaml": ingress + rule("posts.example.com")}, []string{"k8s/evil.yaml:7", "claims the host posts.example.com", "allowedHosts"}},
		{"an Ingress for every host", map[string]string{"k8s/evil.yaml": ingress + "spec: {defaultBackend: {service: {name: api, port: {number: 80}}}}\n"}, []string{"names no host, and so claims all hosts"}},
		{"production's host as an alias", map[string]string{"k8s/evil.yaml": ingress + "  annotations: {nginx.ingress.kubernetes.io/server-alias: posts.example.com}\n" + rule("a.production-s-host-as-an-alias.review.example.com")}, []string{"claims the host posts.example.com"}},
		{"an HTTPRoute with productions host", map[string]string{"k8s/evil.yaml": "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: evil}\nspec: {hostnames: [posts.example.com]}\n"}, []string{"claims the host posts.example.com"}},
		{"configuration of the proxy", map[string]string{"k8s/evil.yaml": ingress + "  annotations:\n    nginx.ingress.kubernetes.io/server-snippet: return 200;\n" + rule("a.configuration-of-the-proxy.review.example.com")}, []string{"has the annotation nginx.ingress.kubernetes.io/server-snippet", "allowedClaims"}},
		{"a port of every node", map[string]string{"k8s/evil.yaml": service + "  type: NodePort\n  ports: [{port: 80}]\n"}, []string{"k8s/evil.yaml:5", "is of the type NodePort", "allowedServiceTypes"}},
		{"a load balancer", map[string]string{"k8s/evil.yaml": service + "  type: LoadBalancer\n  ports: [{port: 80}]\n"}, []string{"is of the type LoadBalancer"}},
		{"an address of another", map[string]string{"k8s/evil.yaml": service + "  externalIPs: [10.0.0.10]\n  ports: [{port: 80}]\n"}, []string{"has spec.externalIPs", "CVE-2020-8554"}},
		{"productions Service", map[string]string{"k8s/evil.yaml": service + "  type: ExternalName\n  externalName: api.claims.svc.cluster.local\n"}, []string{"names a Service of the namespace claims"}},
		{"the token of an account", map[string]string{"k8s/evil.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: evil, annotations: {kubernetes.io/service-account.name: default}}\ntype: kubernetes.io/service-account-token\n"}, []string{"asks for the token of a ServiceAccount"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			name := strings.NewReplacer(" ", "-", "'", "-").Replace(strings.ToLower(row.name))
			branch := posts.in(t).pushes(name, row.files)
			branch.isRefused(row.refused...)
			posts.in(t).felt()
		})
	}
	own := posts.pushes("own", map[string]string{"k8s/own.yaml": ingress + rule("a.own.review.example.com")})
	own.isHealthy()
}
