package observed

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Labels and annotations with which other tools mark their objects.
const (
	helmRelease      = "meta.helm.sh/release-name"
	helmNamespace    = "meta.helm.sh/release-namespace"
	fluxKustomize    = "kustomize.toolkit.fluxcd.io/"
	fluxHelm         = "helm.toolkit.fluxcd.io/"
	argoTrackingID   = "argocd.argoproj.io/tracking-id"
	argoInstance     = "argocd.argoproj.io/instance"
	instance         = "app.kubernetes.io/instance"
	argoFieldManager = "argocd-controller"
)

// toolManagers are the field managers of these tools.
var toolManagers = map[string]string{
	"helm":                          "Helm",
	"kustomize-controller":          "Flux",
	"helm-controller":               "Flux",
	argoFieldManager:                "Argo CD",
	"argocd-application-controller": "Argo CD",
}

// toolOf returns the tool that an object of the cluster belongs to; empty if none is known.
func toolOf(obj metav1.Object, entries []metav1.ManagedFieldsEntry) string {
	labels, annotations := obj.GetLabels(), obj.GetAnnotations()
	for _, flux := range []struct{ prefix, kind string }{{fluxKustomize, "Kustomization"}, {fluxHelm, "HelmRelease"}} {
		if name := labels[flux.prefix+"name"]; name != "" {
			return fmt.Sprintf("Flux (%s %s/%s)", flux.kind, labels[flux.prefix+"namespace"], name)
		}
	}
	if release := annotations[helmRelease]; release != "" {
		return fmt.Sprintf("Helm (release %s/%s)", annotations[helmNamespace], release)
	}
	if id := annotations[argoTrackingID]; id != "" {
		return fmt.Sprintf("Argo CD (%s)", id)
	}
	if app := labels[argoInstance]; app != "" {
		return fmt.Sprintf("Argo CD (application %s)", app)
	}
	i := slices.IndexFunc(entries, func(e metav1.ManagedFieldsEntry) bool { return toolManagers[e.Manager] != "" })
	if i < 0 {
		return ""
	}
	if app := labels[instance]; app != "" && toolManagers[entries[i].Manager] == "Argo CD" {
		return fmt.Sprintf("Argo CD (application %s)", app)
	}
	return toolManagers[entries[i].Manager]
}
