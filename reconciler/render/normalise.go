package render

import (
	"encoding/base64"
	"maps"
	"slices"
)

// serverFields are fields of an exported object that Git does not decide.
var serverFields = []string{"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp",
	"deletionGracePeriodSeconds", "managedFields", "generation", "selfLink"}

// lastApplied is where kubectl keeps what it applied. If it stayed, it would copy Secrets into the clear.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// normalise drops fields that only the server sets, and folds stringData into data: with server-side apply, a key
// removed from stringData would stay.
func normalise(content map[string]any) {
	delete(content, "status")
	metadata := content["metadata"].(map[string]any)
	for _, name := range serverFields {
		delete(metadata, name)
	}
	annotations, _ := metadata["annotations"].(map[string]any)
	delete(annotations, lastApplied)
	for _, name := range []string{"labels", "annotations"} {
		if texts, ok := metadata[name].(map[string]any); (ok && len(texts) == 0) || metadata[name] == nil {
			delete(metadata, name)
		}
	}
	if content["apiVersion"] == "v1" && content["kind"] == "Secret" {
		foldStringData(content)
	}
}

func foldStringData(secret map[string]any) {
	texts, ok := secret["stringData"].(map[string]any)
	delete(secret, "stringData")
	if !ok || len(texts) == 0 {
		return
	}
	data, ok := secret["data"].(map[string]any)
	if !ok {
		data = make(map[string]any, len(texts))
		secret["data"] = data
	}
	for key, text := range texts {
		data[key] = base64.StdEncoding.EncodeToString([]byte(text.(string)))
	}
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
