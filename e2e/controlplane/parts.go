package controlplane

import (
	"fmt"
	"maps"
	"slices"
)

// A part is one program of the control plane, with its arguments.
type part struct {
	name  string
	flags map[string]string
}

func (p part) arguments() []string {
	arguments := []string{p.name}
	for _, flag := range slices.Sorted(maps.Keys(p.flags)) {
		arguments = append(arguments, fmt.Sprintf("--%s=%s", flag, p.flags[flag]))
	}
	return arguments
}

func apiServer(config Config, c *credentials, etcd string, port int) part {
	flags := map[string]string{
		"etcd-servers":        etcd,
		"bind-address":        "127.0.0.1",
		"secure-port":         fmt.Sprint(port),
		"permit-port-sharing": "true",
		// An endpoint may not be a loopback address, so the API server itself has none.
		"advertise-address":                "127.0.0.1",
		"endpoint-reconciler-type":         "none",
		"tls-cert-file":                    c.path("apiserver.crt"),
		"tls-private-key-file":             c.path("apiserver.key"),
		"token-auth-file":                  c.path("tokens.csv"),
		"authorization-mode":               "RBAC",
		"service-account-issuer":           "https://kubernetes.default.svc",
		"service-account-key-file":         c.path("service-accounts.key"),
		"service-account-signing-key-file": c.path("service-accounts.key"),
		"service-cluster-ip-range":         "10.96.0.0/12",
		"allow-privileged":                 "true",
		"profiling":                        "false",
	}
	config.Machine.serve(flags, c)
	if config.APIServerOnly {
		// Without the controller manager no default accounts exist, so this plugin would reject every pod.
		flags["disable-admission-plugins"] = "ServiceAccount"
	}
	if config.Audit != "" {
		flags["audit-log-path"] = config.Audit
		flags["audit-policy-file"] = c.path("audit-policy.yaml")
	}
	return part{name: APIServer, flags: flags}
}

// controllerManager has high limits, so that it never limits a measurement. Its defaults (20 requests a second, 5
// workers) protect production servers.
func controllerManager(c *credentials) part {
	kubeconfig := c.path("controller-manager.kubeconfig")
	flags := map[string]string{
		"kubeconfig":                       kubeconfig,
		"authentication-kubeconfig":        kubeconfig,
		"authorization-kubeconfig":         kubeconfig,
		"secure-port":                      "0",
		"leader-elect":                     "false",
		"root-ca-file":                     c.path("ca.crt"),
		"service-account-private-key-file": c.path("service-accounts.key"),
		"kube-api-qps":                     "1000",
		"kube-api-burst":                   "2000",
		"profiling":                        "false",
	}
	for _, kind := range []string{
		"cron-job", "daemonset", "deployment", "endpoint", "gc", "job", "namespace",
		"replicaset", "service-endpoint", "serviceaccount-token", "statefulset",
	} {
		flags["concurrent-"+kind+"-syncs"] = "32"
	}
	return part{name: ControllerManager, flags: flags}
}

func scheduler(c *credentials) part {
	kubeconfig := c.path("scheduler.kubeconfig")
	return part{name: Scheduler, flags: map[string]string{
		"kubeconfig":                kubeconfig,
		"authentication-kubeconfig": kubeconfig,
		"authorization-kubeconfig":  kubeconfig,
		"secure-port":               "0",
		"leader-elect":              "false",
		"kube-api-qps":              "1000",
		"kube-api-burst":            "2000",
		"profiling":                 "false",
	}}
}

func kwokNode(c *credentials) part {
	return part{name: KWOK, flags: map[string]string{"kubeconfig": c.path("kwok.kubeconfig")}}
}

// auditPolicy logs one line per answered request, without bodies.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`
