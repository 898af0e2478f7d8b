package render

import (
	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
)

// switchedOff reports whether an object opts out of variables, by Berth's annotation or Flux's.
func switchedOff(n *yaml.Node) bool {
	for mark, off := range map[string]string{manifest.AnnotationVariables: "off", "kustomize.toolkit.fluxcd.io/substitute": "disabled"} {
		if value := field(n, "metadata", "annotations", mark); value != nil && value.Value == off {
			return true
		}
	}
	return false
}
