package render_test

import (
	"fmt"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/render"
)

// object is a manifest of the kind with a body.
func object(kind, body string) string {
	version, kind, _ := strings.Cut(kind, " ")
	return "apiVersion: " + version + "\nkind: " + kind + "\nmetadata:\n  name: x\n" + body
}

func TestClaims(t *testing.T) {
	confined := render.Policy{Hosts: []string{"*.review.example.com", "one.example.com"}, ServiceTypes: []string{"ClusterIP", "ExternalName"}, Claims: []string{}}
	const ingress, route, snippet = "networking.k8s.io/v1 Ingress", "gateway.networking.k8s.io/v1 HTTPRoute", "nginx.ingress.kubernetes.io/server-snippet"
	for name, c := range map[string]struct {
		text, refused string // refused is a part of the error
	}{
		"an Ingress with a host of its own":         {object(ingress, "spec: {rules: [{host: a.review.example.com}, {host: one.example.com}], tls: [{hosts: [a.b.review.example.com]}]}\n"), ""},
		"an Ingress with another host":              {object(ingress, "spec:\n  rules:\n  - host: posts.example.com\n"), "infra/k8s/x.yaml:7: Ingress/x: it claims the host posts.example.com, and the hosts of this entry are *.review.example.com, one.example.com: a branch could receive requests that are meant for others; use one of those, or have it added to the entry's allowedHosts"},
		"capitals":                                  {object(ingress, "spec: {rules: [{host: ONE.example.com}]}\n"), ""},
		"the domain itself":                         {object(ingress, "spec: {rules: [{host: review.example.com}]}\n"), "claims the host review.example.com"},
		"a host that only ends so":                  {object(ingress, "spec: {rules: [{host: evilreview.example.com}]}\n"), "claims the host evilreview.example.com"},
		"a wildcard within":                         {object(ingress, "spec: {rules: [{host: '*.a.review.example.com'}]}\n"), ""},
		"a wildcard beyond":                         {object(ingress, "spec: {rules: [{host: '*.example.com'}]}\n"), "claims the host *.example.com"},
		"one host of several":                       {object(ingress, "spec: {rules: [{host: one.example.com}, {host: x}]}\n"), "claims the host x"},
		"a rule without a host":                     {object(ingress, "spec: {rules: [{host: one.example.com}, {http: {}}]}\n"), "names no host, and so claims all hosts"},
		"an Ingress without rules":                  {object(ingress, "spec: {defaultBackend: {service: {name: x}}}\n"), "names no host, and so claims all hosts"},
		"another host's certificate":                {object(ingress, "spec: {rules: [{host: one.example.com}], tls: [{hosts: [posts.example.com]}]}\n"), "claims the host posts.example.com"},
		"an old Ingress":                            {object("extensions/v1beta1 Ingress", "spec: {rules: [{host: x}]}\n"), "claims the host x"},
		"an alias":                                  {object(ingress, "  annotations: {nginx.ingress.kubernetes.io/server-alias: 'one.example.com, x'}\nspec: {rules: [{host: one.example.com}]}\n"), "claims the host x"},
		"a name in the DNS":                         {object("v1 Service", "  annotations: {external-dns.alpha.kubernetes.io/hostname: posts.example.com}\nspec: {}\n"), "claims the host posts.example.com"},
		"a route":                                   {object(route, "spec: {hostnames: [one.example.com]}\n"), ""},
		"a route with another host":                 {object(route, "spec: {hostnames: [one.example.com, x]}\n"), "claims the host x"},
		"a route without a host":                    {object(route, "spec: {parentRefs: [{name: gateway}]}\n"), "names no host, and so claims all hosts"},
		"another kind of route":                     {object("gateway.networking.k8s.io/v1alpha2 TLSRoute", "spec: {hostnames: [x]}\n"), "claims the host x"},
		"a gateway":                                 {object("gateway.networking.k8s.io/v1 Gateway", "spec: {listeners: [{hostname: one.example.com}, {port: 80}]}\n"), "names no host, and so claims all hosts"},
		"OpenShift's route without a host":          {object("route.openshift.io/v1 Route", "spec: {to: {name: x}}\n"), ""},
		"OpenShift's route with one":                {object("route.openshift.io/v1 Route", "spec: {host: x}\n"), "claims the host x"},
		"Istio's":                                   {object("networking.istio.io/v1 VirtualService", "spec: {hosts: [x/one.example.com, z]}\n"), "claims the host z"},
		"Contour's":                                 {object("projectcontour.io/v1 HTTPProxy", "spec: {virtualhost: {fqdn: x}}\n"), "claims the host x"},
		"Traefik's":                                 {object("traefik.io/v1alpha1 IngressRoute", "spec: {routes: [{match: 'Host(`one.example.com`) && PathPrefix(`/`)'}]}\n"), ""},
		"Traefik's with two":                        {object("traefik.io/v1alpha1 IngressRoute", "spec: {routes: [{match: 'Host(`one.example.com`, `x`)'}]}\n"), "claims the host x"},
		"Traefik's with an alternative":             {object("traefik.io/v1alpha1 IngressRoute", "spec: {routes: [{match: 'Host(`one.example.com`) || PathPrefix(`/`)'}]}\n"), "names no host, and so claims all hosts"},
		"Traefik's with a pattern":                  {object("traefik.io/v1alpha1 IngressRoute", "spec: {routes: [{match: 'HostRegexp(`.*`)'}]}\n"), "names no host, and so claims all hosts"},
		"another's kind of that name":               {object("example.com/v1 Ingress", "spec: {rules: [{host: x}]}\n"), ""},
		"a Service":                                 {object("v1 Service", "spec: {ports: [{port: 80}]}\n"), ""},
		"a NodePort":                                {object("v1 Service", "spec:\n  type: NodePort\n"), "infra/k8s/x.yaml:6: Service/x: it is of the type NodePort, and the Services of this entry are ClusterIP or ExternalName: a NodePort is open on every node"},
		"a type of another kind":                    {object("example.com/v1 Service", "spec: {type: NodePort}\n"), ""},
		"a LoadBalancer":                            {object("v1 Service", "spec: {type: LoadBalancer}\n"), "is of the type LoadBalancer"},
		"an external address":                       {object("v1 Service", "spec: {externalIPs: [10.0.0.1]}\n"), "it has spec.externalIPs: the Service receives everything that the cluster sends to that address (CVE-2020-8554); remove it, or have ExternalIPs added to the entry's allowedClaims"},
		"an address of the load balancer":           {object("v1 Service", "spec: {loadBalancerIP: 10.0.0.1}\n"), "it has spec.loadBalancerIP"},
		"no external address":                       {object("v1 Service", "spec: {externalIPs: null}\n"), ""},
		"a name outside":                            {object("v1 Service", "spec: {type: ExternalName, externalName: db.example.com}\n"), ""},
		"a Service of another namespace":            {object("v1 Service", "spec: {type: ExternalName, externalName: db.production.svc.cluster.local}\n"), "it names a Service of the namespace production"},
		"the same with a domain of one's own":       {object("v1 Service", "spec: {type: ExternalName, externalName: DB.production.svc.Corp.}\n"), "it names a Service of the namespace production"},
		"the same without a domain":                 {object("v1 Service", "spec: {type: ExternalName, externalName: db.production.svc}\n"), "it names a Service of the namespace production"},
		"a pod of another namespace":                {object("v1 Service", "spec: {type: ExternalName, externalName: 10-0-0-1.production.pod.cluster.local}\n"), "it names a Service of the namespace production"},
		"a Service of the same namespace":           {object("v1 Service", "spec: {type: ExternalName, externalName: 'db.${NAMESPACE}.svc.cluster.local'}\n"), ""},
		"a snippet":                                 {object(ingress, "  annotations:\n    "+snippet+": 'return 200;'\nspec: {rules: [{host: one.example.com}]}\n"), "infra/k8s/x.yaml:6: Ingress/x: it has the annotation " + snippet + ": its text configures the proxy of all environments"},
		"a snippet of another controller":           {object(ingress, "  annotations: {nginx.org/location-snippets: x}\nspec: {rules: [{host: one.example.com}]}\n"), "it has the annotation nginx.org/location-snippets"},
		"an account's token":                        {object("v1 Secret", "  annotations: {kubernetes.io/service-account.name: default}\ntype: kubernetes.io/service-account-token\n"), "it asks for the token of a ServiceAccount"},
		"another Secret":                            {object("v1 Secret", "type: Opaque\n"), ""},
		"what stands in a list":                     {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: x}, spec: {type: NodePort}}\n", "is of the type NodePort"},
		"a type that comes of a variable":           {object("v1 Service", "spec: {type: 'Node${WORD}'}\n"), "is of the type NodePort"},
		"what an entry with nothing said may claim": {object("v1 Service", "spec: {type: NodePort, externalIPs: [10.0.0.1]}\n"), "-"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			o.Variables["WORD"] = "Port"
			if o.Policy = confined; c.refused == "-" {
				o.Policy, c.refused = render.Policy{}, ""
			}
			_, err := render.Render(t.Context(), one(c.text), o)
			if c.refused == "" && err != nil || !strings.Contains(fmt.Sprint(err), c.refused) {
				t.Errorf("got  %v\nwant %s", err, c.refused)
			}
		})
	}
	for claim, text := range map[string]string{
		"Snippets": object(ingress, "  annotations: {"+snippet+": x}\nspec: {rules: [{host: one.example.com}]}\n"), "ExternalIPs": object("v1 Service", "spec: {externalIPs: [10.0.0.1]}\n"),
		"ForeignServices": object("v1 Service", "spec: {type: ExternalName, externalName: db.production.svc}\n"), "AccountTokens": object("v1 Secret", "type: kubernetes.io/service-account-token\n"),
	} {
		o := options()
		o.Policy = confined
		o.Policy.Claims = []string{claim}
		if _, err := render.Render(t.Context(), one(text), o); err != nil {
			t.Errorf("%s: %v", claim, err)
		}
	}
}
