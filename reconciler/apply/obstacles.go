package apply

import (
	"berth.dev/berth/reconciler/manifest"
)

// admission is the group of policies and webhooks.
const admission = "admissionregistration.k8s.io"

// webhooks are the kinds that configure webhooks. An answer names the webhook and not its configuration, so that any of
// them may be the one.
var webhooks = []manifest.Key{
	{Group: admission, Kind: "MutatingWebhookConfiguration"},
	{Group: admission, Kind: "ValidatingWebhookConfiguration"},
}

// obstaclesOf returns the objects that refuse a step, according to an answer. A missing right names none, because any
// binding may grant it.
func obstaclesOf(key manifest.Key, err error) []manifest.Key {
	var all []manifest.Key
	text := err.Error()
	if match := policyDenies.FindStringSubmatch(text); match != nil {
		kind := "ValidatingAdmissionPolicy"
		if match[1] == "p" {
			kind = "MutatingAdmissionPolicy"
		}
		all = append(all, manifest.Key{Group: admission, Kind: kind, Name: match[2]})
		if match[3] != "" {
			all = append(all, manifest.Key{Group: admission, Kind: kind + "Binding", Name: match[3]})
		}
	}
	if webhookDenies.MatchString(text) || isWebhookDown(err) {
		all = append(all, webhooks...)
	}
	if isQuota(err) {
		all = append(all, manifest.Key{Kind: "ResourceQuota", Namespace: key.Namespace})
	}
	// Policies and webhooks select namespaces by their labels, which also set the level of Pod Security.
	if key.Namespace != "" && (len(all) > 0 || isPodSecurity(err)) {
		all = append(all, manifest.Key{Kind: "Namespace", Name: key.Namespace})
	}
	return all
}
