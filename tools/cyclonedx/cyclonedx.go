// Package cyclonedx describes the content of Go programs as a CycloneDX bill of materials. It reads what the linker stored in a
// program, as `go version -m` does.
package cyclonedx

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

// BOM is a CycloneDX bill of materials, as far as it is used here: https://cyclonedx.org/docs/1.6/json/.
type BOM struct {
	Schema       string       `json:"$schema"`
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	SerialNumber string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     Metadata     `json:"metadata"`
	Components   []Component  `json:"components"`
	Dependencies []Dependency `json:"dependencies"`
}

// Metadata is about the program that a BOM describes.
type Metadata struct {
	Timestamp string    `json:"timestamp"`
	Component Component `json:"component"`
}

// Component is a program or a module.
type Component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Scope      string     `json:"scope,omitempty"`
	Hashes     []Hash     `json:"hashes,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []Property `json:"properties,omitempty"`
}

// Hash is a digest of a component's file.
type Hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// Property is a fact that CycloneDX has no field for.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Dependency lists what a component contains.
type Dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

// Of describes the program in a file. The version replaces that of the main module, which is not known to the linker.
// The same file, version and date give the same bytes.
func Of(file, version string, date time.Time) (*BOM, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading what %s was built from: %w", file, err)
	}
	sum := sha256.Sum256(content)
	name := strings.TrimSuffix(filepath.Base(info.Path), ".exe")
	program := Component{
		Type: "application", Name: name, Version: version, PURL: purl(info.Main.Path, version) + "#" + strings.TrimPrefix(info.Path, info.Main.Path+"/"),
		Hashes: []Hash{{"SHA-256", hex.EncodeToString(sum[:])}}, Properties: settings(info.Settings),
	}
	program.Ref = program.PURL
	bom := &BOM{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		SerialNumber: "urn:uuid:" + uuid(sum), Metadata: Metadata{date.UTC().Format(time.RFC3339), program},
	}
	std := strings.TrimPrefix(info.GoVersion, "go")
	bom.add(Component{Name: "stdlib", Version: std, PURL: "pkg:golang/stdlib@" + std})
	for _, module := range info.Deps {
		bom.add(component(module))
	}
	all := make([]string, 0, len(bom.Components))
	for _, c := range bom.Components {
		all = append(all, c.Ref)
		bom.Dependencies = append(bom.Dependencies, Dependency{Ref: c.Ref})
	}
	bom.Dependencies = append([]Dependency{{program.Ref, all}}, bom.Dependencies...)
	return bom, nil
}

func (b *BOM) add(c Component) {
	c.Type, c.Ref, c.Scope = "library", c.PURL, "required"
	b.Components = append(b.Components, c)
}

func component(m *debug.Module) Component {
	if m.Replace != nil {
		m = m.Replace
	}
	c := Component{Name: m.Path, Version: m.Version, PURL: purl(m.Path, m.Version)}
	if m.Sum != "" {
		c.Properties = []Property{{"go:sum", m.Sum}} // a digest of the module's files, as in go.sum
	}
	return c
}

// settings are the options of the build.
func settings(all []debug.BuildSetting) (properties []Property) {
	for _, s := range all {
		if s.Value != "" {
			properties = append(properties, Property{"go:build:" + strings.TrimPrefix(s.Key, "-"), s.Value})
		}
	}
	return properties
}

// purl returns the package URL of a Go module.
func purl(path, version string) string {
	var escaped []string
	for _, part := range strings.Split(path, "/") {
		escaped = append(escaped, url.PathEscape(part))
	}
	return "pkg:golang/" + strings.Join(escaped, "/") + "@" + url.PathEscape(version)
}

// uuid returns a UUID of version 8, whose content is free, from a digest. So the same program has the same UUID.
func uuid(sum [sha256.Size]byte) string {
	id := sum[:16]
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// Write writes the BOM as JSON.
func (b *BOM) Write(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(b)
}
