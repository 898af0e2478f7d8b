package controlplane

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"berth.dev/berth/e2e/kwok"
)

// The parts of a node that is a real machine.
const (
	Kubelet = "kubelet"
	Proxy   = "kube-proxy"
)

// MachineName is the name of the node.
const MachineName = "machine"

const (
	nodeUser  = "system:node:" + MachineName
	proxyUser = "system:kube-proxy"
	// machinePort is the port of the API server.
	machinePort = 6443
	// firstService is the address of the Service "kubernetes", the first of its range.
	firstService = "10.96.0.1"
)

// Machine is the machine that runs this program, as a node. It must have root, a network of its own, and a container
// runtime.
type Machine struct {
	// Address is the address of the pods' bridge: the API server and the kubelet listen there.
	Address string
	// Pods is the range of the pods' addresses.
	Pods string
	// Runtime is the path of the container runtime's socket.
	Runtime string
}

func (m *Machine) address() string {
	if m == nil {
		return "127.0.0.1"
	}
	return m.Address
}

// name returns the node's name.
func (m *Machine) name() string {
	if m == nil {
		return kwok.NodeName
	}
	return MachineName
}

func (m *Machine) addresses() []net.IP {
	all := []net.IP{net.IPv4(127, 0, 0, 1)}
	if m != nil {
		all = append(all, net.ParseIP(m.Address), net.ParseIP(firstService))
	}
	return all
}

// certificates returns the certificates that a kubelet needs in addition to the API server's: its own, and one for the
// API server as its client.
func (m *Machine) certificates() map[string]*x509.Certificate {
	if m == nil {
		return nil
	}
	return map[string]*x509.Certificate{
		"kubelet": {
			Subject: pkix.Name{CommonName: MachineName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			DNSNames: []string{MachineName}, IPAddresses: []net.IP{net.ParseIP(m.Address)},
		},
		"kubelet-client": {
			Subject:     pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		},
	}
}

func (m *Machine) users() []string {
	if m == nil {
		return nil
	}
	return []string{nodeUser, proxyUser}
}

// groupOf returns a user's group. The node's own users have only the rights of a node.
func groupOf(user string) string {
	switch user {
	case nodeUser:
		return "system:nodes"
	case proxyUser:
		return "system:node-proxiers"
	}
	return "system:masters"
}

func kubeconfigOf(user string) string {
	return strings.ReplaceAll(strings.TrimPrefix(user, "system:"), ":", "-") + ".kubeconfig"
}

// serve sets the API server's flags for pods that have to reach it, and for a kubelet that it asks for logs.
func (m *Machine) serve(flags map[string]string, c *credentials) {
	if m == nil {
		return
	}
	flags["bind-address"], flags["advertise-address"] = m.Address, m.Address
	delete(flags, "endpoint-reconciler-type")
	flags["authorization-mode"] = "RBAC,Node"
	flags["enable-admission-plugins"] = "NodeRestriction"
	flags["client-ca-file"] = c.path("ca.crt")
	flags["kubelet-certificate-authority"] = c.path("ca.crt")
	flags["kubelet-client-certificate"] = c.path("kubelet-client.crt")
	flags["kubelet-client-key"] = c.path("kubelet-client.key")
	flags["kubelet-preferred-address-types"] = "InternalIP"
}

// parts returns the programs of the node, and writes their configuration.
func (m *Machine) parts(dir string, c *credentials) ([]part, error) {
	root := filepath.Join(dir, "kubelet")
	configs := map[string]string{
		"kubelet.yaml": fmt.Sprintf(kubeletConfig, m.Address, m.Runtime, filepath.Join(dir, "pod-logs"),
			c.path("kubelet.crt"), c.path("kubelet.key"), c.path("ca.crt")),
		"kube-proxy.yaml": fmt.Sprintf(proxyConfig, c.path(kubeconfigOf(proxyUser)), m.Pods, MachineName),
	}
	for name, text := range configs {
		if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return []part{
		{name: Kubelet, flags: map[string]string{
			"config": c.path("kubelet.yaml"), "kubeconfig": c.path(kubeconfigOf(nodeUser)),
			"hostname-override": MachineName, "node-ip": m.Address, "root-dir": root,
		}},
		{name: Proxy, flags: map[string]string{"config": c.path("kube-proxy.yaml")}},
	}, nil
}

// kubeletConfig suits a small machine that may itself be a container. It does without swap accounting, OOM scores below
// zero, iptables and cluster DNS, and evicts only when almost nothing is left.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %s
containerRuntimeEndpoint: unix://%s
podLogsDir: %s
tlsCertFile: %s
tlsPrivateKeyFile: %s
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: %s}}
authorization: {mode: AlwaysAllow}
failCgroupV1: false
cgroupDriver: cgroupfs
healthzPort: 0
resolvConf: ""
makeIPTablesUtilChains: false
imagePullCredentialsVerificationPolicy: NeverVerify
evictionHard: {memory.available: 200Mi, nodefs.available: 1%%, imagefs.available: 1%%}
imageGCHighThresholdPercent: 100
serializeImagePulls: false
oomScoreAdj: 0
maxPods: 250
syncFrequency: 10s
nodeStatusUpdateFrequency: 5s
shutdownGracePeriod: 0s
`

const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: %s}
clusterCIDR: %s
hostnameOverride: %s
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`
