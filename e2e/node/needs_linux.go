package node

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// plugins is the folder of the CNI plugins on Debian and Ubuntu.
const plugins = "/usr/lib/cni"

// Packages are the Debian and Ubuntu packages with the programs that a node needs.
const Packages = "containerd runc containernetworking-plugins iptables nftables iproute2"

// trial tries, in new namespaces, the kernel features that a node needs.
const trial = `ip link add name bridge0 type bridge; ip link add name veth0 type veth peer name veth1; nft list tables
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; mkdir "$d/lower" "$d/upper" "$d/work" "$d/all"
mount -t overlay overlay -o "lowerdir=$d/lower,upperdir=$d/upper,workdir=$d/work" "$d/all"; umount "$d/all"`

// Missing returns why this machine cannot run a node, or "".
func Missing() string {
	if os.Geteuid() != 0 {
		return "a real node needs root: namespaces, bridges and containers"
	}
	install := "; install it: apt-get install --no-install-recommends " + Packages
	for _, program := range []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc", "ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Sprintf("a real node needs %s%s", program, install)
		}
	}
	for _, plugin := range []string{"bridge", "host-local", "loopback"} {
		if _, err := os.Stat(filepath.Join(plugins, plugin)); err != nil {
			return fmt.Sprintf("a real node needs the CNI plugin %s%s", plugin, install)
		}
	}
	if output, err := exec.Command("unshare", "-n", "-m", "-p", "-f", "sh", "-ec", trial).CombinedOutput(); err != nil {
		return fmt.Sprintf("a real node needs namespaces with bridges, nftables and overlays, which this machine does not give: %v: %s", err, bytes.TrimSpace(output))
	}
	return ""
}
