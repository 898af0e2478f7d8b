package scenarios

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
)

// othersGoOn checks that another team's push is deployed, whatever happens to this team's.
func (team *team) othersGoOn(branch, text string) {
	team.t.Helper()
	team.Environment(branch).Becomes("Healthy", team.pushes(branch, code(text)))
}

// guarded starts a team with a production and a preview, both healthy.
func guarded(t *testing.T, name string) (posts *team, production *world.Environment) {
	t.Helper()
	posts = begins(t, name)
	production = posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	posts.Environment("side").Becomes("Healthy", posts.branches("side", code("side")))
	return posts, production
}

// more returns one more ConfigMap.
func more(name string) map[string]string {
	return map[string]string{"k8s/" + name + ".yaml": configMap(name, "A: b")}
}

func TestAQuotaIsFull(t *testing.T) {
	t.Parallel()
	posts, production := guarded(t, "quota")
	lift := installs(t, "{apiVersion: v1, kind: ResourceQuota, metadata: {name: few, namespace: quota}, spec: {hard: {count/configmaps: \"2\"}}}")
	awaitQuota(t, "quota", "configmaps", configMap("probe", "A: b"))
	commit := posts.pushes("main", more("third"))
	production.Becomes("Failed", commit, "k8s/third.yaml:1", "ConfigMap/quota/third", "exceeded quota: few, requested: count/configmaps=1, used: count/configmaps=2, limited: count/configmaps=2", "ask for a larger quota")
	posts.othersGoOn("side", "meanwhile")
	lift()
	production.Becomes("Healthy", commit)
}

// awaitQuota waits until the API server has counted the objects of a namespace, and rejects another.
func awaitQuota(t *testing.T, namespace, resource, manifest string) {
	t.Helper()
	world.Await(t, "the quota counts", func() (string, bool) {
		err := other{t, "administrator", namespace}.tries(resource, manifest)
		return fmt.Sprint(err), err != nil && strings.Contains(err.Error(), "exceeded quota")
	})
}

// A webhook's refusal is reported in its words. A request that the webhook cannot answer is retried. While the webhook
// is slow for one environment, other environments do not wait.
func TestAWebhookStandsInBetween(t *testing.T) {
	t.Parallel()
	t.Run("it refuses", func(t *testing.T) {
		t.Parallel()
		posts, production := guarded(t, "denied")
		guards(t, "denied", func(a asked) string {
			if a.about("owner") {
				return ""
			}
			return "every ConfigMap needs an owner"
		})
		awaitGuard(t, "denied")
		production.Becomes("Failed", posts.pushes("main", more("orphan")), "k8s/orphan.yaml:1", "ConfigMap/denied/orphan",
			`admission webhook "guard.example.com" denied the request: every ConfigMap needs an owner`)
		posts.othersGoOn("side", "meanwhile")
		production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/orphan.yaml": saying("orphan", "owner: us")}))
	})
	t.Run("it is down", func(t *testing.T) {
		t.Parallel()
		posts, production := guarded(t, "down")
		server := httptest.NewTLSServer(nil)
		certificate := server.Certificate().Raw
		server.Close()
		removes := guardedAt(t, "down", server.URL, certificate)
		awaitGuard(t, "down")
		commit := posts.pushes("main", more("unasked"))
		production.AwaitUnhealthy("ConfigMap/unasked", `failed calling webhook "guard.example.com"`, "it is tried again")
		posts.othersGoOn("side", "meanwhile")
		removes()
		production.Becomes("Healthy", commit)
	})
	t.Run("it takes its time", func(t *testing.T) {
		t.Parallel()
		posts, production := guarded(t, "thinks")
		arrived, answer := make(chan struct{}), make(chan struct{})
		arrives, answers := sync.OnceFunc(func() { close(arrived) }), sync.OnceFunc(func() { close(answer) })
		var answered atomic.Bool
		guards(t, "thinks", func(a asked) string {
			if a.about("pondered") {
				arrives()
				<-answer
				answered.Store(true)
			}
			if a.about("probe") {
				return "this is only to see whether the webhook is known"
			}
			return ""
		})
		t.Cleanup(answers) // before the server closes, because that waits for this
		awaitGuard(t, "thinks")
		commit := posts.pushes("main", more("pondered"))
		world.AwaitSignal(t, "the webhook is asked", arrived)
		posts.othersGoOn("side", "while the webhook thinks")
		if answered.Load() {
			t.Error("the webhook did not think long enough to prove anything")
		}
		answers()
		production.Becomes("Healthy", commit)
	})
}

// awaitGuard waits until the API server calls the webhook for ConfigMaps of a namespace.
func awaitGuard(t *testing.T, namespace string) {
	t.Helper()
	world.Await(t, "the webhook is known", func() (string, bool) {
		err := other{t, "administrator", namespace}.tries("configmaps", configMap("probe", "A: b"))
		return fmt.Sprint(err), err != nil && strings.Contains(err.Error(), "guard.example.com")
	})
}

// throttled makes the API server answer all writes to a namespace with 429, as it does under load.
func throttled(namespace string) string {
	return strings.ReplaceAll(`apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: NS}
spec: {type: Limited, limited: {nominalConcurrencyShares: 0, lendablePercent: 0, borrowingLimitPercent: 0, limitResponse: {type: Reject}}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: NS}
spec:
  priorityLevelConfiguration: {name: NS}
  matchingPrecedence: 2
  rules:
  - subjects: [{kind: Group, group: {name: "system:authenticated"}}]
    resourceRules: [{verbs: [create, patch, update], apiGroups: [""], resources: [configmaps], namespaces: [NS]}]
`, "NS", namespace)
}

func TestTheAPIServerIsBusy(t *testing.T) {
	t.Parallel()
	posts, production := guarded(t, "busy")
	begun, finish := make(chan struct{}), make(chan struct{})
	begins := sync.OnceFunc(func() { close(begun) })
	guards(t, "busy", func(a asked) string {
		if a.about("holder") {
			begins()
			<-finish
		}
		if a.about("probe") {
			return "this is only to see whether the webhook is known"
		}
		return ""
	})
	finishes := sync.OnceFunc(func() { close(finish) })
	t.Cleanup(finishes)
	awaitGuard(t, "busy")
	relax := installs(t, throttled("busy"))
	level, err := other{t, "administrator", ""}.client("levels").Get(t.Context(), "busy", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	world.Await(t, "the API server knows whom to throttle", func() (string, bool) {
		answer, err := asAgent(t.Context(), "busy", "probe")
		return fmt.Sprint(err), err == nil && answer.Header.Get("X-Kubernetes-PF-PriorityLevel-UID") == string(level.GetUID())
	})
	held := make(chan error, 1)
	go func() {
		_, err := asAgent(t.Context(), "busy", "holder")
		held <- err
	}()
	world.AwaitSignal(t, "the webhook is asked", begun)
	commit := posts.pushes("main", more("late"))
	production.AwaitUnhealthy("ConfigMap/late", "; it is tried again")
	posts.othersGoOn("side", "meanwhile")
	relax()
	finishes()
	if err := <-held; err != nil {
		t.Error(err)
	}
	production.Becomes("Healthy", commit)
}

// asAgent tries to create a ConfigMap as the agent does, which impersonates the environment's account. Administrators
// are never throttled, and client-go would hide that a request was.
func asAgent(ctx context.Context, namespace, name string) (*http.Response, error) {
	config, err := shared.Cluster.ConfigFor(ctx, deploy.Namespace, deploy.ServiceAccount)
	if err != nil {
		return nil, err
	}
	config.Impersonate.UserName = "system:serviceaccount:" + namespace + ":berth-apply"
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	address := config.Host + "/api/v1/namespaces/" + namespace + "/configmaps?dryRun=All"
	answer, err := client.Post(address, "application/yaml", strings.NewReader(configMap(name, "A: b")))
	if err != nil {
		return nil, err
	}
	return answer, answer.Body.Close()
}

func TestANamespaceThatTakesLongToGo(t *testing.T) {
	t.Parallel()
	posts, production := guarded(t, "lingers")
	kubectl := other{t, "kubectl-create", "lingers"}
	kubectl.creates("configmaps", "{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: ["+held+"]}}")
	other{t, "kubectl-delete", ""}.deletes("namespaces", "lingers")
	commit := posts.pushes("main", code("while the namespace goes"))
	production.Becomes("Waiting", commit, "Namespace/lingers: is being deleted")
	posts.othersGoOn("side", "meanwhile")
	kubectl.patches("configmaps", "held", `{"metadata":{"finalizers":null}}`)
	production.Becomes("Healthy", commit)
}

// A Role from Git cannot grant more than the environment's account may do, and a first sync continues with the other
// objects.
func TestAFirstSyncGoesOnWithTheRest(t *testing.T) {
	t.Parallel()
	posts := prepares(t, "first")
	// In a namespace that Berth has just created, it expects missing rights to appear soon.
	other{t, "kubectl-create", ""}.creates("namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: first}}")
	posts.followed()
	production := posts.Environment("main")
	typo := strings.Replace(deployment("api", ""), "replicas:", "replicsa:", 1)
	const greedy = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: greedy}\nrules: [{apiGroups: [\"\"], resources: [nodes], verbs: [get]}]\n"
	bad := posts.pushes("main", with(application(), "k8s/api.yaml", typo+service("api"), "k8s/role.yaml", greedy))
	production.AwaitUnhealthy("Deployment/api", "k8s/api.yaml:2", ".spec.replicsa: field not declared in schema; correct it in Git")
	production.AwaitUnhealthy("Role/greedy", "k8s/role.yaml:1", "grants what the account that applies it may not do itself")
	production.AwaitObject("Deployment/worker", "is there", func(o world.Object) bool { return o.Field("status.readyReplicas") == "2" })
	production.Becomes("Failed", bad, "Role/first/greedy")
	posts.removes("main", "k8s/role.yaml")
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/api.yaml": application()["k8s/api.yaml"]}))
}
