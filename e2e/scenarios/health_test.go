package scenarios

import (
	"fmt"
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
)

// pod statuses as a kubelet writes them.
const (
	unready  = `{"status":{"conditions":[{"type":"Ready","status":"False"},{"type":"ContainersReady","status":"False"}]}}`
	crashing = `{"status":{"conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"db","image":"db","imageID":"","ready":false,"restartCount":4,
		"state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off"}},"lastState":{"terminated":{"exitCode":3,"reason":"Error"}}}]}}`
)

// A healthy environment is still watched, and reports why it becomes unhealthy.
func TestAnEnvironmentIsDegradedAndBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, status string
		says         []string
	}{
		{"ill", crashing, []string{"StatefulSet/db", "container db exited with code 3, restarted again and again"}},
		{"late", unready, []string{"not ready for 10s", "StatefulSet/db", "1 of 2 ready"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			posts := begins(t, test.name, timeout(10))
			production := posts.Environment("main")
			commit := posts.pushes("main", map[string]string{"k8s/db.yaml": stateful("", "db")})
			production.Becomes("Healthy", commit)
			production.Patch("Pod/db-0", test.status, "status")
			production.Becomes("Degraded", commit, test.says...)
			production.AwaitEvent("Degraded", test.says...)
			production.Delete("Pod/db-0")
			production.Becomes("Healthy", commit)
			if got, want := fmt.Sprint(outcomes(production)), "["+commit[:8]+" Healthy]"; got != want {
				t.Errorf("the history is %s, want %s", got, want)
			}
		})
	}
}

// An object may have a shorter or longer timeout than its environment.
func TestATimeoutOfOneObject(t *testing.T) {
	t.Parallel()
	posts := begins(t, "patience", timeout(2))
	limited := func(name, limit string) string {
		return strings.Replace(deployment(name, startsSlowly), "  name: "+name+"\n", "  name: "+name+"\n  annotations: {berth.dev/timeout: "+limit+"}\n", 1)
	}
	production := posts.Environment("main")
	long := posts.pushes("main", map[string]string{"app/main.go": "package main\n", "k8s/worker.yaml": limited("worker", "1m")})
	production.Becomes("Healthy", long)
	for _, outcome := range outcomes(production) {
		if outcome != long[:8]+" Healthy" {
			t.Errorf("it was %s before", outcome)
		}
	}
	short := posts.pushes("main", map[string]string{"k8s/worker.yaml": limited("worker", "1m"), "k8s/quick.yaml": limited("quick", "1s")})
	production.Becomes("Failed", short, "not ready after 1s", "Deployment/quick")
	production.Becomes("Healthy", short)
}

// The status says why there are no pods, in the cluster's own words.
func TestPodsThatDoNotCome(t *testing.T) {
	t.Parallel()
	tests := []struct {
		branch, spec string
		says         []string
	}{
		{"no-node", "      nodeSelector: {disk: fast}\n", []string{"has no node: 0/1 nodes are available", "didn't match Pod's node affinity/selector"}},
		{"too-large", "        resources: {requests: {cpu: 2k}}\n", []string{"has no node: 0/1 nodes are available: 1 Insufficient cpu"}},
		{"privileged", "      hostNetwork: true\n", []string{`cannot create pods: violates PodSecurity "baseline:latest"`, "host namespaces (hostNetwork=true)"}},
		{"no-room", "", []string{"cannot create pods: exceeded quota: few, requested: pods=1, used: pods=", "limited: pods=0"}},
	}
	posts := begins(t, "podless", timeout(3))
	posts.Environment("main").Becomes("Healthy", posts.pushes("main", map[string]string{"app/main.go": "package main\n", "k8s/common.yaml": configMap("common", "A: b")}))
	commits := map[string]string{}
	for _, test := range tests {
		posts.Environment(test.branch).Becomes("Healthy", posts.branches(test.branch, map[string]string{"README.md": test.branch}))
		if test.branch == "no-room" {
			namespace := posts.Environment(test.branch).Namespace()
			installs(t, "{apiVersion: v1, kind: ResourceQuota, metadata: {name: few, namespace: "+namespace+"}, spec: {hard: {pods: \"0\"}}}")
			awaitQuota(t, namespace, "pods", "{apiVersion: v1, kind: Pod, metadata: {name: probe}, spec: {containers: [{name: probe, image: probe}]}}")
		}
		commits[test.branch] = posts.pushes(test.branch, map[string]string{"k8s/api.yaml": deployment("api", "") + test.spec})
	}
	for _, test := range tests {
		t.Run(test.branch, func(t *testing.T) {
			posts := posts.in(t)
			posts.Environment(test.branch).Becomes("Failed", commits[test.branch], append(test.says, "Deployment/api")...)
		})
	}
}

// A custom resource is judged by its conditions or, if it has none, by expressions of the entry.
func TestCustomResourcesAreJudged(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		expressions   func(group string) []v1alpha1.HealthExpression
		going, failed string // statuses
		healthy       string
		waits, fails  string
	}{
		{
			name:  "conditions",
			going: `{"conditions":[{"type":"Ready","status":"False","reason":"Begins","message":"0 of 3 members"}]}`, waits: "0 of 3 members",
			healthy: `{"conditions":[{"type":"Ready","status":"True","reason":"Runs","message":""}]}`,
			failed:  `{"conditions":[{"type":"Stalled","status":"True","reason":"Disk","message":"the disk is full"}]}`, fails: "the disk is full",
		},
		{
			name: "expressions",
			expressions: func(group string) []v1alpha1.HealthExpression {
				return []v1alpha1.HealthExpression{{APIVersion: group + "/v1", Kind: "Database", Healthy: "status.members == spec.members", Failed: "has(status.error)"}}
			},
			going: `{"members":0}`, waits: "the expression healthy is not true yet",
			healthy: `{"members":3}`,
			failed:  `{"members":3,"error":"the disk is full"}`, fails: "it has failed, as the expression failed says",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			group := test.name + ".example.com"
			installs(t, definition(group)+"---\n"+rights(group))
			posts := begins(t, test.name, func(r *v1alpha1.Repository) {
				if test.expressions != nil {
					r.Spec.Environments[0].Health.Expressions = test.expressions(group)
				}
			})
			production := posts.Environment("main")
			operator := other{t, "operator", test.name}
			later := strings.Replace(deployment("later", ""), "metadata:\n", "metadata:\n  annotations: {berth.dev/wave: \"1\"}\n", 1)
			commit := posts.pushes("main", map[string]string{"app/main.go": "package main\n", "k8s/db.yaml": databases(group, "main", "3"), "k8s/later.yaml": later})
			operator.says(group, "main", test.going)
			production.AwaitUnhealthy("Database/main", test.waits)
			if test.expressions != nil { // without expressions, such an object gives no reason
				production.AwaitUnhealthy("Deployment/later", "waits for Database/main in wave 0")
			}
			operator.says(group, "main", test.healthy)
			production.Becomes("Healthy", commit)
			operator.says(group, "main", test.failed)
			production.Becomes("Degraded", commit, "Database/main", test.fails)
			operator.says(group, "main", test.healthy)
			production.Becomes("Healthy", commit)
		})
	}
}

// A CustomResourceDefinition and its objects can come in one commit, and are applied in order.
func TestADefinitionAndItsObjectsInOneCommit(t *testing.T) {
	t.Parallel()
	const group = "brought.example.com"
	installs(t, rights(group)+`---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: definitions}
rules: [{apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get, list, watch, create, patch, delete]}]
`)
	deployer(t, "brought", "definitions")
	posts := begins(t, "brought", func(r *v1alpha1.Repository) {
		production := &r.Spec.Environments[0]
		production.Scope, production.ServiceAccountName = v1alpha1.ScopeCluster, "deployer"
	})
	t.Cleanup(func() { other{t, "kubectl-delete", ""}.deletes("definitions", "databases."+group) })
	production := posts.Environment("main")
	commit := posts.pushes("main", with(application(), "k8s/a-db.yaml", databases(group, "main", "1"), "k8s/z-definition.yaml", definition(group)))
	production.Becomes("Healthy", commit)
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/b-db.yaml": databases(group, "second", "1")}))
}
