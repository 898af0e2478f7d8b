package render

import (
	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
)

// switchedOff says whether an object wants its variables left alone.
func switchedOff(n *yaml.Node) bool {
	value := field(n, "metadata", "annotations", manifest.AnnotationVariables)
	return value != nil && value.Value == "off"
}
