package scenarios

import (
	"fmt"
	"maps"
	"strings"
)

// application returns the files that the teams deploy, with the structure of examples/posts in few lines. The tag of
// the images is the hash of the code, and the migration runs before any rollout.
func application() map[string]string {
	return map[string]string{
		"README.md":        "An application.\n",
		"app/main.go":      "package main\n",
		"k8s/common.yaml":  configMap("common", "HOST: ${HOST}"),
		"k8s/migrate.yaml": job("migrate", ""),
		"k8s/api.yaml":     deployment("api", "") + service("api"),
		"k8s/worker.yaml":  deployment("worker", ""),
	}
}

// with adds files to others, or replaces them.
func with(files map[string]string, others ...string) map[string]string {
	files = maps.Clone(files)
	for i := 0; i < len(others); i += 2 {
		files[others[i]] = others[i+1]
	}
	return files
}

// code is a change of the application's code.
func code(text string) map[string]string {
	return map[string]string{"app/main.go": "package main\n\n// " + text + "\n"}
}

const image = "registry.example.com/app:${TREE:app}"

func configMap(name, data string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata:
  name: %s
data:
  %s
`, name, data)
}

// The behaviour of a pod on the simulated node, as lines of its template's metadata.
const (
	crashes      = "labels: {kwok.berth.dev/behaviour: crash-loop}, annotations: {kwok.berth.dev/exit-code: \"3\"}"
	startsSlowly = "labels: {kwok.berth.dev/behaviour: slow-start}, annotations: {kwok.berth.dev/seconds: \"12\"}"
	fails        = "labels: {kwok.berth.dev/behaviour: fail}, annotations: {kwok.berth.dev/exit-code: \"7\"}"
	takesLong    = "annotations: {kwok.berth.dev/seconds: \"4\"}"
	runsOn       = "annotations: {kwok.berth.dev/seconds: \"600\"}" // until other.finishes completes it
)

func deployment(name, behaviour string) string {
	return workload(`---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
spec:
  replicas: ${REPLICAS}
  selector:
    matchLabels: {app: NAME}
  template:
    metadata: {BEHAVIOUR}
    spec:
      containers:
      - name: NAME
        image: IMAGE
        readinessProbe: {httpGet: {path: /health, port: 80}}
`, name, withLabel(behaviour, "app: "+name))
}

// probeless removes the readiness probes from a manifest.
func probeless(manifest string) string {
	return strings.ReplaceAll(manifest, "        readinessProbe: {httpGet: {path: /health, port: 80}}\n", "")
}

func job(name, behaviour string) string {
	return workload(`---
apiVersion: batch/v1
kind: Job
metadata:
  name: NAME
  annotations:
    berth.dev/wave: "-1"
spec:
  backoffLimit: 0
  template:
    metadata: {BEHAVIOUR}
    spec:
      restartPolicy: Never
      containers:
      - name: NAME
        image: IMAGE
        command: [app, migrate]
`, name, behaviour)
}

func workload(text, name, behaviour string) string {
	return strings.NewReplacer("NAME", name, "BEHAVIOUR", behaviour, "IMAGE", image).Replace(text)
}

// withLabel adds a label to a behaviour.
func withLabel(behaviour, label string) string {
	if rest, has := strings.CutPrefix(behaviour, "labels: {"); has {
		return "labels: {" + label + ", " + rest
	}
	return strings.TrimSuffix("labels: {"+label+"}, "+behaviour, ", ")
}

func service(name string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Service
metadata:
  name: %s
spec:
  selector: {app: %[1]s}
  ports:
  - port: 80
`, name)
}

// broken replaces the manifest's image by one that does not exist.
func broken(manifest string) string {
	return strings.ReplaceAll(manifest, image, "registry.example.com/app:broken")
}
