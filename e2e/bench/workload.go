package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The workload of a branch: 12 objects. Four Deployments and a Job among them have to become healthy.
const (
	objectsPerBranch = 12
	folder           = "k8s"
	imageOfTree      = "registry.example.com/app:${TREE:app}"
)

// files returns the files of a branch, with Berth's variables.
func files() map[string]string {
	all := map[string]string{
		"README.md":         "An application.\n",
		"app/main.go":       "package main\n",
		"k8s/job.yaml":      jobFile,
		"k8s/cron.yaml":     cronFile,
		"k8s/settings.yaml": settingsFile,
		"k8s/secret.yaml":   secretFile,
		"k8s/ingress.yaml":  ingressFile,
	}
	for _, name := range deployments {
		all["k8s/"+name+".yaml"] = strings.ReplaceAll(deploymentFile, "NAME", name)
	}
	for _, name := range deployments[:3] {
		all["k8s/"+name+".yaml"] += strings.ReplaceAll(serviceFile, "NAME", name)
	}
	return all
}

// deployments are the names of a branch's Deployments; the first three have a Service.
var deployments = []string{"api", "frontend", "nginx", "worker"}

const deploymentFile = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
  labels: {app.kubernetes.io/name: NAME}
spec:
  replicas: 1
  selector:
    matchLabels: {app.kubernetes.io/name: NAME}
  template:
    metadata:
      labels: {app.kubernetes.io/name: NAME}
    spec:
      containers:
      - name: NAME
        image: ` + imageOfTree + `
        args: [serve, NAME]
        envFrom:
        - configMapRef: {name: settings}
        - secretRef: {name: credentials}
        env:
        - name: HOST
          value: ${BRANCH_SLUG}.review.example.com
        ports:
        - name: http
          containerPort: 8080
        readinessProbe:
          httpGet: {path: /health, port: http}
        resources:
          requests: {cpu: 10m, memory: 16Mi}
          limits: {memory: 128Mi}
`

const serviceFile = `---
apiVersion: v1
kind: Service
metadata:
  name: NAME
spec:
  selector: {app.kubernetes.io/name: NAME}
  ports:
  - name: http
    port: 80
    targetPort: http
`

const jobFile = `apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: migrate
        image: ` + imageOfTree + `
        command: [app, migrate]
        envFrom:
        - secretRef: {name: credentials}
`

const cronFile = `apiVersion: batch/v1
kind: CronJob
metadata:
  name: cleanup
spec:
  schedule: "17 3 1 1 *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - name: cleanup
            image: ` + imageOfTree + `
            command: [app, cleanup]
`

// settingsFile names the commit, so that every push changes it.
const settingsFile = `apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  COMMIT: ${COMMIT_SHORT}
  HOST: ${BRANCH_SLUG}.review.example.com
  LOG_LEVEL: info
`

const secretFile = `apiVersion: v1
kind: Secret
metadata:
  name: credentials
stringData:
  DATABASE_URL: postgres://app:app@database/app
`

const ingressFile = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: app
spec:
  rules:
  - host: ${BRANCH_SLUG}.review.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: nginx
            port: {name: http}
`

// labelBench marks everything that the bare client writes.
const labelBench = "bench.example.com/round"

// bareObjects returns the objects that the bare client sends, which Berth would create for a branch: the namespace and its
// rights first. They have as many labels and annotations as Berth's.
func bareObjects(round, branch string, files map[string]string) ([]*unstructured.Unstructured, error) {
	namespace := round + "-" + branch
	variables := strings.NewReplacer("${TREE:app}", strings.Repeat("0", 40), "${BRANCH_SLUG}", branch, "${COMMIT_SHORT}", "1a2b3c4d",
		// The API server converts stringData itself, and Berth does so before it applies.
		"stringData:\n  DATABASE_URL: postgres://app:app@database/app", "data:\n  DATABASE_URL: cG9zdGdyZXM6Ly9hcHA6YXBwQGRhdGFiYXNlL2FwcA==")
	objects := []*unstructured.Unstructured{{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace}}}, {Object: map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": map[string]any{"name": "bare", "namespace": namespace},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "berth-environment"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "bare", "namespace": namespace}},
	}}}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasPrefix(path, folder+"/") {
			continue
		}
		for _, document := range strings.Split(files[path], "---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(variables.Replace(document)), &object.Object); err != nil {
				return nil, fmt.Errorf("reading %s: %w", path, err)
			}
			object.SetNamespace(namespace)
			objects = append(objects, object)
		}
	}
	for _, object := range objects {
		marks := object.GetLabels()
		if marks == nil {
			marks = map[string]string{}
		}
		marks[labelBench] = round
		object.SetLabels(marks)
		object.SetAnnotations(map[string]string{
			"bench.example.com/repository": round, "bench.example.com/branch": branch,
			"bench.example.com/environment": round + ".review." + branch, "bench.example.com/digest": strings.Repeat("0", 28),
		})
	}
	return objects, nil
}
