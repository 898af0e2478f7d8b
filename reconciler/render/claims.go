package render

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Policy limits what objects may claim of shared resources: hosts, ports of nodes, proxies, accounts.
type Policy struct {
	// Hosts are the host names that objects may claim; "*.example.com" stands for all names below example.com. nil
	// allows any.
	Hosts []string
	// ServiceTypes are the types that Services may have; nil allows any.
	ServiceTypes []string
	// Claims are the claims below that are allowed; nil allows all.
	Claims []string
}

// The claims that a Policy names.
const (
	// Snippets are annotations whose text becomes part of a proxy's configuration.
	Snippets = "Snippets"
	// ExternalIPs are addresses that a Service takes for itself.
	ExternalIPs = "ExternalIPs"
	// ForeignServices are Services of other namespaces behind an ExternalName.
	ForeignServices = "ForeignServices"
	// AccountTokens are Secrets that the cluster fills with a ServiceAccount's token, which does not expire.
	AccountTokens = "AccountTokens"
)

// claim is something that an object takes of what all environments share.
type claim struct {
	path []string
	// completes "it …"
	what string
}

// claims lists each kind of claim. Its reason explains why a policy may forbid it.
var claims = []struct {
	name, reason string
	find         func(p Policy, namespace string, content map[string]any) *claim
	// hint is the next step, beside allowing the claim in the entry's field.
	hint, field string
}{
	{"hosts", "a branch could receive requests that are meant for others", Policy.foreignHost, "use one of those", "allowedHosts"},
	{"service types", "a NodePort is open on every node, a LoadBalancer has a public address and a price", Policy.serviceType, "use one of those", "allowedServiceTypes"},
	{Snippets, "its text configures the proxy of all environments, which can read the Secrets of all certificates", snippet, "remove it", "allowedClaims"},
	{ExternalIPs, "the Service receives everything that the cluster sends to that address (CVE-2020-8554)", externalIP, "remove it", "allowedClaims"},
	{ForeignServices, "a proxy that follows it leads into the other namespace, past its network policies", foreignService, "name a Service of this namespace", "allowedClaims"},
	{AccountTokens, "the token outlives the branch's pods, and everyone who can read the Secret has it", accountToken, "mount a projected token", "allowedClaims"},
}

// unclaimed refuses an object that claims what the policy does not allow.
func (r *renderer) unclaimed(c checker) *Error {
	for _, rule := range claims {
		if r.Policy.Claims == nil && rule.field == "allowedClaims" || slices.Contains(r.Policy.Claims, rule.name) {
			continue
		}
		found := rule.find(r.Policy, r.Namespace, c.content)
		if found == nil {
			continue
		}
		add := rule.name
		if rule.field != "allowedClaims" {
			add = "it"
		}
		return c.fail(found.path, "it "+found.what+": "+rule.reason, fmt.Sprintf("%s, or have %s added to the entry's %s", rule.hint, add, rule.field))
	}
	return nil
}

func (p Policy) serviceType(_ string, content map[string]any) *claim {
	if p.ServiceTypes == nil || !is(content, "v1", "Service") {
		return nil
	}
	path := []string{"spec", "type"}
	kind := textIn(content, path...)
	if kind == "" || slices.Contains(p.ServiceTypes, kind) {
		return nil
	}
	return &claim{path, fmt.Sprintf("is of the type %s, and the Services of this entry are %s", kind, strings.Join(p.ServiceTypes, " or "))}
}

func snippet(_ Policy, _ string, content map[string]any) *claim {
	metadata, _ := content["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	for _, name := range sortedKeys(annotations) {
		if strings.HasSuffix(name, "-snippet") || strings.HasSuffix(name, "-snippets") {
			return &claim{[]string{"metadata", "annotations", name}, "has the annotation " + name}
		}
	}
	return nil
}

func externalIP(_ Policy, _ string, content map[string]any) *claim {
	if !is(content, "v1", "Service") {
		return nil
	}
	for _, field := range []string{"externalIPs", "loadBalancerIP"} {
		if value, found, _ := unstructured.NestedFieldNoCopy(content, "spec", field); found && value != nil && value != "" {
			return &claim{[]string{"spec", field}, "has spec." + field}
		}
	}
	return nil
}

// inCluster are the names of Services and pods in the cluster's DNS.
var inCluster = regexp.MustCompile(`^[^.]+\.([^.]+)\.(svc|pod)(\.|$)`)

func foreignService(_ Policy, namespace string, content map[string]any) *claim {
	if !is(content, "v1", "Service") || textIn(content, "spec", "type") != "ExternalName" {
		return nil
	}
	path := []string{"spec", "externalName"}
	match := inCluster.FindStringSubmatch(strings.ToLower(textIn(content, path...)))
	if match == nil || match[1] == namespace {
		return nil
	}
	return &claim{path, "names a Service of the namespace " + match[1]}
}

func accountToken(_ Policy, _ string, content map[string]any) *claim {
	if !is(content, "v1", "Secret") || textIn(content, "type") != "kubernetes.io/service-account-token" {
		return nil
	}
	return &claim{[]string{"type"}, "asks for the token of a ServiceAccount"}
}

func is(content map[string]any, version, kind string) bool {
	return content["apiVersion"] == version && content["kind"] == kind
}

func textIn(content map[string]any, path ...string) string {
	text, _, _ := unstructured.NestedString(content, path...)
	return text
}
