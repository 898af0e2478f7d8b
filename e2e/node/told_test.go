package node_test

import (
	"strings"
	"testing"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/e2e/world"
)

func testRollback(t *testing.T) {
	posts := begins(t, "posts")
	production := posts.Environment("main")
	healthy := posts.pushes("main", deployment("serve", probe))
	production.BecomesWithin(limit, "Healthy", healthy)

	bad := posts.pushes("main", deployment(`exit, "7"`, ""))
	after := production.BecomesWithin(limit, "RolledBack", bad, "Deployment/api", "container api exited with code 7, restarted again and again")
	if after.Status.HealthyCommit != healthy {
		t.Errorf("healthy is %.8s, want %.8s", after.Status.HealthyCommit, healthy)
	}
	production.BecomesWithin(limit, "Healthy", posts.pushes("main", deployment("work", "")))
}

// told is a manifest, and what the status of its environment says because of a real kubelet.
type told struct {
	branch, manifest, reason string
	says                     []string
	// logs is a line of the log in the status, if there is one.
	logs string
}

// unserved is a storage class whose provisioner does not run.
const unserved = "unserved"

const (
	claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
	// sidecar is a container that runs beside a Job's, and does not keep the Job from its end.
	sidecar    = "      initContainers: [{name: proxy, image: " + appImage + ", args: [work], restartPolicy: Always}]\n"
	privileged = "      hostNetwork: true\n"
)

// noFile is what the application says before it exits.
const noFile = "cannot open /etc/app.conf: no such file or directory"

// initialised returns a Deployment with an init container.
func initialised(arguments string) string {
	return strings.Replace(deployment("serve", probe), "      containers:\n", "      initContainers: [{name: prepare, image: "+appImage+", args: ["+arguments+"]}]\n      containers:\n", 1)
}

func imaged(image string) string {
	return strings.Replace(deployment("serve", probe), appImage, image, 1)
}

var tellings = []told{
	{"exits-well", deployment(`exit, "0"`, ""), "Failed", []string{"container api exited with code 0 but is meant to keep running, restarted again and again"}, ""},
	{"crashes", deployment(`exit, "7"`, ""), "Failed", []string{"container api exited with code 7, restarted again and again"}, noFile},
	{"out-of-memory", deployment("eat", "        resources: {limits: {memory: 32Mi}}\n"), "Failed", []string{"container api was killed because it used more memory than its limit (OOMKilled)"}, ""},
	{"wrong-liveness-port", deployment("serve", probe+"        livenessProbe: {httpGet: {path: /, port: 9999}, periodSeconds: 1, failureThreshold: 2}\n"), "Failed", []string{"restarted again and again", "its liveness probe failed", "connection refused"}, ""},
	{"init-fails", initialised(`exit, "3"`), "Failed", []string{"init container prepare exited with code 3, restarted again and again"}, noFile},
	{"no-volume", deployment("serve", probe+"        volumeMounts: [{name: c, mountPath: /etc/app}]\n      volumes: [{name: c, configMap: {name: absent}}]\n"), "Syncing", []string{`FailedMount: MountVolume.SetUp failed for volume "c" : configmap "absent" not found`}, ""},
	{"no-config", deployment("serve", probe+"        envFrom: [{configMapRef: {name: absent}}]\n"), "Failed", []string{`configmap "absent" not found`}, ""},
	{"never-ready", deployment("serve", "        readinessProbe: {tcpSocket: {port: 9999}, periodSeconds: 1}\n"), "Syncing", []string{"container api is not ready: readiness probe failed", "connection refused"}, ""},
	{"no-image", imaged("registry.example.com/acme/gone:1"), "Failed", []string{"registry.example.com/acme/gone:1", "not found"}, ""},
	{"no-class", deployment("serve", probe+"        volumeMounts: [{name: d, mountPath: /data}]\n      volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]\n") + claim, "Syncing", []string{`PersistentVolumeClaim/data: storageclass.storage.k8s.io "fast" not found`}, ""},
	{"no-provisioner", deployment("serve", probe+"        volumeMounts: [{name: d, mountPath: /data}]\n      volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]\n") + strings.Replace(claim, "fast", unserved, 1), "Syncing", []string{`PersistentVolumeClaim/data: `, "example.com/absent"}, ""},
	{"refused", job("migrate", "work", privileged), "Failed", []string{`Job/migrate: 0 of 1 completed; cannot create pods: violates PodSecurity "baseline:latest"`}, ""},
	{"migration-fails", job("migrate", `exit, "5"`, ""), "Failed", []string{"Job/migrate", "exited with code 5"}, noFile},
	{"migration-is-slow", job("migrate", `sleep, "120"`, "") + "---\n" + deployment("serve", probe), "Syncing", []string{"Job/migrate", "0 of 1 completed"}, ""},
	{"migration-with-sidecar", job("migrate", `sleep, "1"`, sidecar), "Healthy", nil, ""},
}

// These messages come only from a real kubelet.
func testTold(t *testing.T) {
	posts := begins(t, "told")
	classes := admin(t).StorageV1().StorageClasses()
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: unserved}, Provisioner: "example.com/absent"}
	if _, err := classes.Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	posts.Environment("main").BecomesWithin(limit, "Healthy", posts.pushes("main", deployment("serve", probe)))
	for _, test := range tellings {
		commit := posts.git.CommitFrom("main", test.branch, map[string]string{"k8s/app.yaml": test.manifest}, test.branch)
		t.Run(test.branch, func(t *testing.T) {
			t.Parallel() // the kubelet waits between restarts
			now := posts.with(t).Environment(test.branch).BecomesWithin(limit, test.reason, commit, test.says...)
			t.Log(world.Ready(now).Message)
			if test.logs != "" {
				posts.with(t).Environment(test.branch).AwaitLog(test.logs)
			}
		})
	}
}
