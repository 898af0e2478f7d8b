package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/util/jsonpath"
)

const pod = "spec.template.spec"

// values lists what each value does: with the values given, the path of the object has the content.
var values = []struct {
	value  string // the path of the value
	given  string
	object string
	path   string
	want   string // JSON, or "absent" for an object that is not rendered
}{
	{"image.repository", "image: {repository: r.example/berth}", "Deployment/berth", pod + ".containers[0].image", `"r.example/berth:v0.1.0"`},
	{"image.tag", "image: {tag: v9}", "Deployment/berth", pod + ".containers[0].image", `"berth:v9"`},
	{"image.digest", "image: {tag: v9, digest: 'sha256:" + digest + "'}", "Deployment/berth", pod + ".containers[0].image", `"berth@sha256:` + digest + `"`},
	{"image.pullPolicy", "image: {pullPolicy: Always}", "Deployment/berth", pod + ".containers[0].imagePullPolicy", `"Always"`},
	{"imagePullSecrets", "imagePullSecrets: [{name: pull}]", "Deployment/berth", pod + ".imagePullSecrets", `[{"name":"pull"}]`},
	{"replicas", "replicas: 2", "Deployment/berth", "spec.replicas", `2`},
	{"resources", "resources: {limits: {memory: 2Gi}}", "Deployment/berth", pod + ".containers[0].resources.limits", `{"ephemeral-storage":"4Gi","memory":"2Gi"}`},
	{"goMemoryLimit", "goMemoryLimit: 600MiB", "Deployment/berth", pod + `.containers[0].env[?(@.name=="GOMEMLIMIT")].value`, `"600MiB"`},
	{"store.sizeLimit", "store: {sizeLimit: 8Gi}", "Deployment/berth", pod + ".volumes[0].emptyDir.sizeLimit", `"8Gi"`},
	{"store.gitStoreBytes", "store: {gitStoreBytes: 6Gi}", "Deployment/berth", pod + ".containers[0].args[3]", `"--git-store-bytes=6Gi"`},
	{"agentName", "agentName: eu-west", "Deployment/berth", pod + ".containers[0].args[-1:]", `"--agent-name=eu-west"`},
	{"extraArgs", "extraArgs: [--log-level=debug]", "Deployment/berth", pod + ".containers[0].args[-1:]", `"--log-level=debug"`},
	{"extraEnv", "extraEnv: [{name: HTTPS_PROXY, value: 'http://p:3128'}]", "Deployment/berth", pod + `.containers[0].env[?(@.name=="HTTPS_PROXY")].value`, `"http://p:3128"`},
	{"extraVolumes", "extraVolumes: [{name: ca, secret: {secretName: ca}}]", "Deployment/berth", pod + ".volumes[1]", `{"name":"ca","secret":{"secretName":"ca"}}`},
	{"extraVolumeMounts", "extraVolumeMounts: [{name: ca, mountPath: /ca}]", "Deployment/berth", pod + ".containers[0].volumeMounts[1]", `{"mountPath":"/ca","name":"ca"}`},
	{"affinity", "affinity: {podAntiAffinity: null, nodeAffinity: {a: b}}", "Deployment/berth", pod + ".affinity", `{"nodeAffinity":{"a":"b"}}`},
	{"nodeSelector", "nodeSelector: {disk: ssd}", "Deployment/berth", pod + ".nodeSelector", `{"disk":"ssd"}`},
	{"tolerations", "tolerations: [{key: infra, operator: Exists}]", "Deployment/berth", pod + ".tolerations", `[{"key":"infra","operator":"Exists"}]`},
	{"topologySpreadConstraints", "topologySpreadConstraints: [{maxSkew: 1}]", "Deployment/berth", pod + ".topologySpreadConstraints", `[{"maxSkew":1}]`},
	{"priorityClassName", "priorityClassName: high", "Deployment/berth", pod + ".priorityClassName", `"high"`},
	{"podLabels", "podLabels: {team: infra}", "Deployment/berth", "spec.template.metadata.labels.team", `"infra"`},
	{"podAnnotations", "podAnnotations: {team: infra}", "Deployment/berth", "spec.template.metadata.annotations", `{"team":"infra"}`},
	{"serviceAccount.annotations", "serviceAccount: {annotations: {role: arn}}", "ServiceAccount/berth", "metadata.annotations", `{"role":"arn"}`},
	{"podDisruptionBudget.create", "podDisruptionBudget: {create: true}", "PodDisruptionBudget/berth", "spec.maxUnavailable", `1`},
	{"podDisruptionBudget.maxUnavailable", "podDisruptionBudget: {create: true, maxUnavailable: 50%}", "PodDisruptionBudget/berth", "spec.maxUnavailable", `"50%"`},
	{"networkPolicy.create", "networkPolicy: {create: true}", "NetworkPolicy/berth", "spec.policyTypes", `["Ingress"]`},
	{"networkPolicy.webhooksFrom", "networkPolicy: {create: true, webhooksFrom: [{ipBlock: {cidr: 10.0.0.0/8}}]}", "NetworkPolicy/berth", "spec.ingress[0]", `{"from":[{"ipBlock":{"cidr":"10.0.0.0/8"}}],"ports":[{"port":"webhooks"}]}`},
	{"networkPolicy.metricsFrom", "networkPolicy: {create: true, metricsFrom: [{podSelector: {}}]}", "NetworkPolicy/berth", "spec.ingress[1]", `{"from":[{"podSelector":{}}],"ports":[{"port":"metrics"}]}`},
	{"networkPolicy.egress", "networkPolicy: {create: true, egress: [{ports: [{port: 443}]}]}", "NetworkPolicy/berth", "spec.policyTypes", `["Ingress","Egress"]`},
	{"networkPolicy.egress", "networkPolicy: {create: true, egress: [{ports: [{port: 443}]}]}", "NetworkPolicy/berth", "spec.egress", `[{"ports":[{"port":443}]}]`},
	{"metricsAuthorization.enabled", "metricsAuthorization: {enabled: true}", "Deployment/berth", pod + ".containers[0].args[-1:]", `"--metrics-authorization"`},
	{"metricsAuthorization.enabled", "metricsAuthorization: {enabled: true}", "ClusterRoleBinding/berth-metrics-authorization", "roleRef.name", `"system:auth-delegator"`},
	{"serviceMonitor.create", "serviceMonitor: {create: true}", "ServiceMonitor/berth", "spec.endpoints", `[{"path":"/metrics","port":"metrics"}]`},
	{"serviceMonitor.labels", "serviceMonitor: {create: true, labels: {release: prometheus}}", "ServiceMonitor/berth", "metadata.labels.release", `"prometheus"`},
	{"serviceMonitor.interval", "serviceMonitor: {create: true, interval: 15s}", "ServiceMonitor/berth", "spec.endpoints[0].interval", `"15s"`},
	{"serviceMonitor.scrapeTimeout", "serviceMonitor: {create: true, scrapeTimeout: 5s}", "ServiceMonitor/berth", "spec.endpoints[0].scrapeTimeout", `"5s"`},
	{"serviceMonitor.endpoint", "serviceMonitor: {create: true, endpoint: {bearerTokenFile: /token}}", "ServiceMonitor/berth", "spec.endpoints[0].bearerTokenFile", `"/token"`},
	{"prometheusRule.create", "prometheusRule: {create: true}", "PrometheusRule/berth", "spec.groups[0].rules[0].alert", `"BerthDown"`},
	{"prometheusRule.labels", "prometheusRule: {create: true, labels: {release: prometheus}}", "PrometheusRule/berth", "metadata.labels.release", `"prometheus"`},
	{"dashboard.create", "dashboard: {create: true}", "ConfigMap/berth-dashboard", "metadata.labels.grafana_dashboard", `"1"`},
	{"dashboard.labels", "dashboard: {create: true, labels: {folder: gitops}}", "ConfigMap/berth-dashboard", "metadata.labels.folder", `"gitops"`},
	{"dashboard.annotations", "dashboard: {create: true, annotations: {folder: gitops}}", "ConfigMap/berth-dashboard", "metadata.annotations", `{"folder":"gitops"}`},
	{"watchSecrets", "watchSecrets: cluster", "Deployment/berth", pod + ".containers[0].args[-1:]", `"--watch-secrets=cluster"`},
	{"watchSecrets", "watchSecrets: cluster", "ClusterRole/berth-watch-secrets", "metadata.name", `"berth-watch-secrets"`},
	{"webhookIngress.create", "webhookIngress: {create: true, host: b.example}", "Ingress/berth-webhooks", "spec.tls", `[{"hosts":["b.example"],"secretName":"berth-webhooks-tls"}]`},
	{"webhookIngress.host", "webhookIngress: {create: true, host: b.example}", "Ingress/berth-webhooks", "spec.rules[0].host", `"b.example"`},
	{"webhookIngress.className", "webhookIngress: {create: true, host: b.example, className: nginx}", "Ingress/berth-webhooks", "spec.ingressClassName", `"nginx"`},
	{"webhookIngress.tlsSecret", "webhookIngress: {create: true, host: b.example, tlsSecret: cert}", "Ingress/berth-webhooks", "spec.tls[0].secretName", `"cert"`},
	{"webhookIngress.annotations", "webhookIngress: {create: true, host: b.example, annotations: {a: b}}", "Ingress/berth-webhooks", "metadata.annotations.a", `"b"`},
	{"page.enabled", "page: {enabled: true}", "Deployment/berth", pod + ".containers[0].args[-1:]", `"--page-address=:8090"`},
	{"page.enabled", "page: {enabled: true}", "Deployment/berth", pod + `.containers[0].ports[?(@.name=="page")].containerPort`, `8090`},
	{"page.enabled", "page: {enabled: true}", "Service/berth-page", "spec.ports", `[{"name":"page","port":80,"targetPort":"page"}]`},
	{"page.enabled", "page: {enabled: true}", "ClusterRole/berth-operator", "rules[2].verbs", `["sync","retry","suspend","pin","confirm","keep"]`},
	{"page.enabled", "{page: {enabled: true}, networkPolicy: {create: true, pageFrom: [{podSelector: {}}]}}", "NetworkPolicy/berth", "spec.ingress[2]", `{"from":[{"podSelector":{}}],"ports":[{"port":"page"}]}`},
	{"networkPolicy.pageFrom", "{page: {enabled: true}, networkPolicy: {create: true, pageFrom: [{podSelector: {}}]}}", "NetworkPolicy/berth", "spec.ingress[2].from", `[{"podSelector":{}}]`},
	{"page.url", "page: {enabled: true, url: 'https://b.example'}", "Deployment/berth", pod + ".containers[0].args[-1:]", `"--page-url=https://b.example"`},
	{"page.issuer", "page: {enabled: true, issuer: 'https://i.example'}", "Deployment/berth", pod + ".containers[0].args[-1:]", `"--page-issuer=https://i.example"`},
	{"page.clientID", "page: {enabled: true, clientID: berth}", "Deployment/berth", pod + ".containers[0].args[-1:]", `"--page-client-id=berth"`},
	{"page.secret", "page: {enabled: true, secret: another}", "Deployment/berth", pod + ".containers[0].args[-1:]", `"--page-secret=another"`},
	{"clusterScope.create", "clusterScope: {create: true}", "ClusterRole/berth-cluster-scope", "metadata.name", `"berth-cluster-scope"`},
	{"crds.create", "crds: {create: false}", "CustomResourceDefinition/repositories.berth.dev", "", "absent"},
	{"shared.create", "shared: {create: false}", "ClusterRole/berth-environment", "", "absent"},
	{"shared.create", "shared: {create: false}", "ValidatingAdmissionPolicy/berth-agent", "", "absent"},
	{"namespace.create", "namespace: {create: true}", "Namespace/berth", "metadata.labels.pod-security\\.kubernetes\\.io/enforce", `"restricted"`},
}

var digest = strings.Repeat("0", 64)

func TestEachValueDoesWhatItSays(t *testing.T) {
	defaults := render(t, "berth", "")
	for _, test := range values {
		t.Run(test.value+" in "+test.object, func(t *testing.T) {
			object := render(t, "berth", test.given)[test.object]
			switch {
			case object == nil && test.want == "absent":
				return
			case object == nil || test.want == "absent":
				t.Fatalf("%s is rendered: %t", test.object, object != nil)
			}
			if got := at(t, object.Object, test.path); got != test.want {
				t.Errorf("with %s, %s of %s is %s, want %s", test.given, test.path, test.object, got, test.want)
			}
			// With the defaults, something else is there.
			if before := defaults[test.object]; before != nil && at(t, before.Object, test.path) == test.want {
				t.Errorf("%s of %s is %s by default, too: the row proves nothing", test.path, test.object, test.want)
			}
		})
	}
}

func at(t *testing.T, object map[string]any, path string) string {
	t.Helper()
	parser := jsonpath.New("value").AllowMissingKeys(true)
	if err := parser.Parse("{." + path + "}"); err != nil {
		t.Fatal(err)
	}
	results, err := parser.FindResults(object)
	if err != nil || len(results) != 1 || len(results[0]) != 1 {
		return fmt.Sprintf("nothing (%v)", err)
	}
	text, err := json.Marshal(results[0][0].Interface())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Without a row above, a value that does nothing would stay unseen.
func TestEveryValueIsTestedAndInTheSchema(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(manifests, "chart", "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema node
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	delete(schema.Properties, "global") // of Helm
	described := schema.leaves("")
	var tested []string
	for _, row := range values {
		if !slices.Contains(tested, row.value) {
			tested = append(tested, row.value)
		}
	}
	slices.Sort(tested)
	if diff := cmp.Diff(described, tested); diff != "" {
		t.Errorf("values in the schema and tested ones differ (-schema +tested):\n%s", diff)
	}
	for name, property := range schema.Properties {
		if property.Description == "" {
			t.Errorf("%s has no description", name)
		}
		if _, ok := load(t).Values[name]; !ok {
			t.Errorf("%s is not in values.yaml", name)
		}
	}
}

// node is a part of a JSON schema.
type node struct {
	Description          string          `json:"description"`
	Properties           map[string]node `json:"properties"`
	AdditionalProperties any             `json:"additionalProperties"`
}

func (n node) leaves(path string) (all []string) {
	if len(n.Properties) == 0 {
		return []string{strings.TrimPrefix(path, ".")}
	}
	for _, name := range slices.Sorted(maps.Keys(n.Properties)) {
		all = append(all, n.Properties[name].leaves(path+"."+name)...)
	}
	slices.Sort(all)
	return all
}

func TestWrongValuesAreRefused(t *testing.T) {
	for _, test := range []struct{ given, says string }{
		{"replica: 2", "additional properties 'replica' not allowed"},
		{"image: {name: x}", "additional properties 'name' not allowed"},
		{"replicas: two", "got string, want integer"},
		{"image: {digest: v1}", "does not match pattern"},
		{"image: {pullPolicy: Sometimes}", "value must be one of"},
		{"extraArgs: [debug]", "does not match pattern"},
		{"store: {sizeLimit: big}", "does not match pattern"},
		{"goMemoryLimit: 600", "got number, want string"},
		{"imagePullSecrets: [pull]", "got string, want object"},
		{"watchSecrets: all", "value must be one of"},
		{"webhookIngress: {create: true}", "webhookIngress.host is the host name of the webhooks"},
	} {
		if _, err := tryRender(t, "berth", test.given); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("with %s: %v, want %q", test.given, err, test.says)
		}
	}
}
