package render

import (
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// advise warns about settings that work now but cause trouble later.
func (r *renderer) advise(c checker) {
	version, _ := c.content["apiVersion"].(string)
	kind, _ := c.content["kind"].(string)
	if version == "v1" && kind == "Secret" && r.inPlain(c.document.node) {
		c.warn(r, manifest.Warn, nil, "its values are in Git unencrypted, and everyone who can read the repository can read them; encrypt the file with SOPS, see docs/secrets.md")
	}
	if !slices.Contains([]string{"v1", "apps/v1", "batch/v1"}, version) || podSpecs[kind] == nil {
		return
	}
	spec, _, _ := unstructured.NestedFieldNoCopy(c.content, podSpecs[kind]...)
	pod, _ := spec.(map[string]any)
	for _, field := range []string{"initContainers", "containers"} {
		containers, _ := pod[field].([]any)
		for _, item := range containers {
			container, _ := item.(map[string]any)
			image, _ := container["image"].(string)
			if floats(image) {
				c.warn(r, manifest.Warn, append(slices.Clone(podSpecs[kind]), field), fmt.Sprintf("container %v has the image %s, so what runs does not follow Git, and a rollback does not bring the old one back; name a tag that is never pushed again, such as ${COMMIT_SHORT}", container["name"], image))
			}
		}
	}
}

// podSpecs holds the path of the pod spec for each kind that runs pods.
var podSpecs = map[string][]string{
	"Pod":         {"spec"},
	"Deployment":  {"spec", "template", "spec"},
	"StatefulSet": {"spec", "template", "spec"},
	"DaemonSet":   {"spec", "template", "spec"},
	"ReplicaSet":  {"spec", "template", "spec"},
	"Job":         {"spec", "template", "spec"},
	"CronJob":     {"spec", "jobTemplate", "spec", "template", "spec"},
}

// floats reports whether an image may change under the same name: it has no tag, or the tag latest.
func floats(image string) bool {
	if image == "" || strings.Contains(image, "@") {
		return false
	}
	_, tag, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	return tag == "" || tag == "latest"
}

// inPlain reports whether a Secret has values that are neither encrypted nor taken from variables, which are not in
// Git.
func (r *renderer) inPlain(secret *yaml.Node) bool {
	plain := false
	for _, name := range []string{"data", "stringData"} {
		values := field(secret, name)
		if values == nil || values.Kind != yaml.MappingNode {
			continue
		}
		for i := 1; i < len(values.Content); i += 2 {
			value := values.Content[i].Value
			if r.veils.over(value) {
				return false // the rest was left plain on purpose
			}
			plain = plain || value != "" && !strings.Contains(value, "${")
		}
	}
	return plain
}

// warn adds a warning at a path of the object.
func (c checker) warn(r *renderer, level manifest.Level, path []string, text string) {
	at := c.fail(path, "", "")
	r.warn(manifest.Warning{Origin: at.Origin, Object: c.name, Text: text, Level: level})
}
