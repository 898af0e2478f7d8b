package render

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// hostFields are the fields in which kinds name the hosts whose requests they want; [] stands for every item of a
// list.
var hostFields = map[string][]string{
	"networking.k8s.io/Ingress":           {"spec.rules[].host", "spec.tls[].hosts[]"},
	"extensions/Ingress":                  {"spec.rules[].host", "spec.tls[].hosts[]"},
	"gateway.networking.k8s.io/HTTPRoute": {"spec.hostnames[]"},
	"gateway.networking.k8s.io/GRPCRoute": {"spec.hostnames[]"},
	"gateway.networking.k8s.io/TLSRoute":  {"spec.hostnames[]"},
	"gateway.networking.k8s.io/Gateway":   {"spec.listeners[].hostname"},
	"route.openshift.io/Route":            {"spec.host"},
	"networking.istio.io/VirtualService":  {"spec.hosts[]"},
	"networking.istio.io/Gateway":         {"spec.servers[].hosts[]"},
	"projectcontour.io/HTTPProxy":         {"spec.virtualhost.fqdn"},
	"traefik.io/IngressRoute":             {"spec.routes[].match"},
	"traefik.io/IngressRouteTCP":          {"spec.routes[].match"},
}

// everyHost are the kinds above that get the requests to all hosts if they name none.
var everyHost = []string{"networking.k8s.io/Ingress", "extensions/Ingress", "gateway.networking.k8s.io/HTTPRoute", "gateway.networking.k8s.io/GRPCRoute",
	"gateway.networking.k8s.io/TLSRoute", "gateway.networking.k8s.io/Gateway", "traefik.io/IngressRoute", "traefik.io/IngressRouteTCP"}

// hostAnnotations name further hosts, separated by commas.
var hostAnnotations = []string{"external-dns.alpha.kubernetes.io/hostname", "external-dns.alpha.kubernetes.io/internal-hostname",
	"nginx.ingress.kubernetes.io/server-alias"}

// foreignHost finds a host that the policy does not allow.
func (p Policy) foreignHost(_ string, content map[string]any) *claim {
	if p.Hosts == nil {
		return nil
	}
	for _, mark := range hostAnnotations {
		path := []string{"metadata", "annotations", mark}
		for host := range strings.SplitSeq(textIn(content, path...), ",") {
			if host = strings.TrimSpace(host); host != "" && !p.allows(host) {
				return p.claimed(path, host)
			}
		}
	}
	version, _ := content["apiVersion"].(string)
	group, _, _ := strings.Cut(version, "/")
	kind := fmt.Sprint(group, "/", content["kind"])
	for _, field := range hostFields[kind] {
		path := strings.Split(field, ".")
		hosts := fieldsAt(content, path)
		if len(hosts) == 0 && field == hostFields[kind][0] && slices.Contains(everyHost, kind) {
			hosts = []string{""}
		}
		for _, text := range hosts {
			for _, host := range hostsIn(kind, text) {
				if !p.allows(host) && (host != "" || slices.Contains(everyHost, kind)) {
					return p.claimed(strings.Split(strings.ReplaceAll(field, "[]", ""), ".")[:2], host)
				}
			}
		}
	}
	return nil
}

func (p Policy) claimed(path []string, host string) *claim {
	what := fmt.Sprintf("claims the host %s", host)
	if host == "" {
		what = "names no host, and so claims all hosts"
	}
	return &claim{path, what + ", and the hosts of this entry are " + strings.Join(p.Hosts, ", ")}
}

// allows reports whether a host is one of the policy's, or below one.
func (p Policy) allows(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, after, found := strings.Cut(host, "/"); found { // Istio's namespace/host
		host = after
	}
	return slices.ContainsFunc(p.Hosts, func(allowed string) bool {
		allowed = strings.ToLower(allowed)
		below, wildcard := strings.CutPrefix(allowed, "*")
		return host == allowed || wildcard && len(host) > len(below) && strings.HasSuffix(host, below)
	})
}

// fieldsAt returns the texts at a path, with an empty one for each list item that lacks the field.
func fieldsAt(value any, path []string) []string {
	if len(path) == 0 {
		text, _ := value.(string)
		return []string{text}
	}
	name, isList := strings.CutSuffix(path[0], "[]")
	object, _ := value.(map[string]any)
	below, found := object[name]
	if !isList {
		if !found && len(path) > 1 {
			return nil
		}
		return fieldsAt(below, path[1:])
	}
	list, _ := below.([]any)
	var all []string
	for _, item := range list {
		all = append(all, fieldsAt(item, path[1:])...)
	}
	return all
}

// quotedHost matches a host in a rule of Traefik.
var quotedHost = regexp.MustCompile(`Host(?:SNI)?\(([^)]*)\)`)

// hostsIn returns the hosts that the text of a field names.
func hostsIn(kind, text string) []string {
	if !strings.HasPrefix(kind, "traefik.io/") {
		return []string{text}
	}
	var hosts []string
	for _, match := range quotedHost.FindAllStringSubmatch(text, -1) {
		for host := range strings.SplitSeq(match[1], ",") {
			hosts = append(hosts, strings.Trim(host, " `\""))
		}
	}
	// An alternative without a host matches any host, and so does a pattern.
	if len(hosts) == 0 || strings.Contains(text, "Regexp(") || strings.Count(text, "||") >= len(hosts) || strings.Contains(text, "!") {
		hosts = append(hosts, "")
	}
	return hosts
}
