package main

import (
	"fmt"
	"strings"
)

// plugin writes the manifest with which krew installs Berth as `kubectl berth`.
func (r *release) plugin(archives []archive) error {
	var text strings.Builder
	fmt.Fprintf(&text, `apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: berth
spec:
  version: %s
  homepage: https://berth.dev
  shortDescription: Run every branch of a Git repository
  description: |
    Berth runs every branch of a Git repository in a namespace of its own:
    production from main, and a preview of every feature branch. This plugin
    installs it, shows what runs, and says why something is not healthy.
  caveats: |
    To install Berth in the cluster: kubectl berth install --image IMAGE
  platforms:
`, r.version)
	for _, a := range archives {
		fmt.Fprintf(&text, `  - selector:
      matchLabels: {os: %s, arch: %s}
    uri: %s/%s/%s
    sha256: %s
    bin: berth%s
    files:
    - {from: "*", to: .}
`, a.system, a.processor, r.url, r.version, a.name, a.sum, a.suffix())
	}
	return r.write("berth.yaml", []byte(text.String()))
}
