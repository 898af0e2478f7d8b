package render

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"
)

// checked reads a kustomization file, and refuses one that reaches out of the tree: Kustomize would fetch it, with
// the agent's network and rights.
func (f *buildFiles) checked(name string, built *builtFile) error {
	nodes, err := parse(name, built.content)
	if err != nil {
		return err
	}
	if len(nodes) != 1 {
		return &Error{Origin: manifest.Origin{File: name},
			Problem: fmt.Sprintf("a kustomization is one YAML document, and here are %d", len(nodes)), Hint: "keep one"}
	}
	if err := unique(name, nodes[0], strings.ToLower); err != nil {
		return err
	}
	if f.renderer.typedPatches(nodes[0]) {
		built.shown = []byte(written(nodes))
	}
	if name == f.top {
		if built.shown, err = f.withOrigins(name, nodes[0], built.shown); err != nil {
			return err
		}
	}
	// The check looks at the file as Kustomize reads it, which for example ignores the case of field names.
	k, err := kustomizationOf(name, built.shown)
	if err != nil {
		return unreadableKustomization(name, nodes[0], err)
	}
	check := kustomizationCheck{files: f, name: name, text: strings.ToLower(string(built.content))}
	check.plugins(k)
	k.FixKustomization() // turns bases into resources, for example
	built.resources, built.components, built.isComponent = k.Resources, k.Components, k.Kind == types.ComponentKind
	built.plugins = slices.Concat(k.Generators, k.Transformers, k.Validators)
	built.names = slices.Concat(k.Resources, k.Components, loaded(k))
	if k.Namespace != "" {
		f.renderer.noteNamespace(k.Namespace, check.at("namespace:"))
	}
	for _, file := range built.names {
		if check.local(file); len(check.found) > maxProblems {
			break
		}
	}
	//lint:ignore SA1019 Kustomize still reads what it deprecates.
	for _, patch := range k.PatchesStrategicMerge { // the name of a file, or the patch itself
		built.names = append(built.names, string(patch))
	}
	if len(check.found) == 0 {
		return nil
	}
	for _, e := range check.found[1:] {
		f.problems.add(e)
	}
	return check.found[0]
}

func kustomizationOf(name string, content []byte) (k types.Kustomization, err error) {
	if err := k.Unmarshal(content); err != nil {
		return k, &Error{Origin: manifest.Origin{File: name}, Problem: "the kustomization cannot be read", Cause: err}
	}
	return k, nil
}

// unique refuses duplicate keys, because Kustomize silently takes the last one. Keys are compared as returned by
// same: the fields of a kustomization count in any case.
func unique(file string, n *yaml.Node, same func(string) string) error {
	if n.Kind == yaml.MappingNode {
		first := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if line, twice := first[same(key.Value)]; twice && !isMerge(key) {
				e := duplicate(key.Value, line)
				e.Origin = manifest.Origin{File: file, Line: key.Line}
				return e
			}
			first[same(key.Value)] = key.Line
		}
	}
	for _, child := range n.Content {
		if err := unique(file, child, strings.Clone); err != nil {
			return err
		}
	}
	return nil
}

// withOrigins asks Kustomize to annotate each object with the file that it came from.
func (f *buildFiles) withOrigins(name string, n *yaml.Node, content []byte) ([]byte, error) {
	k, err := kustomizationOf(name, content)
	if err != nil {
		return nil, unreadableKustomization(name, n, err)
	}
	metadata := k.BuildMetadata
	f.keepOrigins = slices.Contains(metadata, types.OriginAnnotations)
	if !f.keepOrigins {
		metadata = append(metadata, types.OriginAnnotations)
	}
	var value yaml.Node
	if err := value.Encode(metadata); err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if strings.EqualFold(n.Content[i].Value, "buildMetadata") {
			n.Content = slices.Delete(n.Content, i, i+2)
			break
		}
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "buildMetadata"}, &value)
	var out bytes.Buffer
	if err := yaml.NewEncoder(&out).Encode(n); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// kustomizationCheck collects the problems of one kustomization file.
type kustomizationCheck struct {
	files *buildFiles
	name  string
	// text is the file in lower case.
	text  string
	found []*Error
}

// fail notes a problem at the first line that holds the text.
func (c *kustomizationCheck) fail(at, problem, hint string) {
	c.found = append(c.found, &Error{Origin: c.at(at), Problem: problem, Hint: hint})
}

// at returns the first line that holds a text.
func (c *kustomizationCheck) at(text string) manifest.Origin {
	origin := manifest.Origin{File: c.name}
	if before, _, ok := strings.Cut(c.text, strings.ToLower(text)); ok {
		origin.Line = strings.Count(before, "\n") + 1
	}
	return origin
}

const (
	noPlugins = "use the kustomization's own fields (configMapGenerator, patches, labels, images, replacements, …), or a transformer or generator with apiVersion: builtin"
	noHelm    = "commit the output of helm template and list it under resources"
)

// plugins refuses fields that would run programs, or that load configurations which name further places to load from.
// Kustomize's own transformers and generators, with apiVersion builtin, are allowed in files and in the kustomization
// itself.
func (c *kustomizationCheck) plugins(k types.Kustomization) {
	for _, group := range []struct {
		field   string
		entries []string
	}{{"generators", k.Generators}, {"transformers", k.Transformers}, {"validators", k.Validators}} {
		for _, entry := range group.entries {
			if c.isPlugin(entry) {
				c.fail(group.field, group.field+": Berth runs no plugins", noPlugins)
				break
			}
		}
	}
	for field, used := range map[string]bool{
		"helmCharts": len(k.HelmCharts) > 0, "helmGlobals": k.HelmGlobals != nil,
		"helmChartInflationGenerator": len(k.HelmChartInflationGenerator) > 0,
	} {
		if used {
			c.fail(field, field+": Berth does not run Helm", noHelm)
		}
	}
}

// isPlugin reports whether an entry of transformers or generators is not one of Kustomize's own. For a folder,
// Kustomize reports that itself.
func (c *kustomizationCheck) isPlugin(entry string) bool {
	content := []byte(entry)
	if !isInline(entry) {
		name := path.Join(path.Dir(c.name), entry)
		if !isFile(c.files.renderer.tree, name) {
			return false
		}
		built := c.files.file(name)
		if built.err != nil {
			return false
		}
		content = built.content
	}
	documents, err := parse(c.name, content)
	return err == nil && slices.ContainsFunc(flatten(documents), func(n *yaml.Node) bool {
		version := field(n, "apiVersion")
		return version == nil || version.Value != "builtin"
	})
}

// isInline reports whether an entry is YAML itself rather than the name of a file.
func isInline(entry string) bool {
	return strings.Contains(entry, "\n") || strings.HasPrefix(strings.TrimSpace(entry), "{")
}

// remote matches what Kustomize may take for a repository or a web address. It is wider than Kustomize's own rules,
// which are not exported. An address that only those accept fails too, because a build has no network.
var (
	remote  = regexp.MustCompile(`(?i)^(github\.com|[a-z][a-z0-9-]*@)|:|\?|//`)
	address = regexp.MustCompile(`(?i)^[a-z][a-z0-9+.-]*:+//`)
)

// isRemote reports whether a name leads out of the tree. The tree is searched first, for files and for folders whose
// name begins with a dot.
func (c *kustomizationCheck) isRemote(name, target string) bool {
	tree := c.files.renderer.tree
	if !remote.MatchString(name) || !address.MatchString(name) && isFile(tree, target) {
		return false
	}
	return !(strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../")) || !isFolder(tree, target)
}

// local makes sure that a name refers to a file or folder in the tree.
func (c *kustomizationCheck) local(name string) {
	target := path.Join(path.Dir(c.name), name)
	switch {
	case c.isRemote(name, target):
		c.fail(name, fmt.Sprintf("%q is remote, and Berth reads only this repository", name),
			"copy it into the repository and name its path")
	case target == ".." || strings.HasPrefix(target, "../"):
		c.fail(name, fmt.Sprintf("%q leads out of the repository", name), "name a file or folder of this repository")
	case !exists(c.files.renderer.tree, target):
		c.files.renderer.inputs.record(target)
		c.fail(name, fmt.Sprintf("%q is not in this commit", name), "add it, or remove it from the kustomization")
	}
}

// loaded returns the files that the other fields load. Kustomize would also take web addresses there.
func loaded(k types.Kustomization) []string {
	names := slices.Concat(k.Crds, k.Configurations)
	for _, entry := range slices.Concat(k.Generators, k.Transformers, k.Validators) {
		if !isInline(entry) {
			names = append(names, entry)
		}
	}
	if file := k.OpenAPI["path"]; file != "" {
		names = append(names, file)
	}
	//lint:ignore SA1019 Kustomize still reads what it deprecates.
	for _, patch := range slices.Concat(k.Patches, k.PatchesJson6902) {
		names = append(names, patch.Path)
	}
	for _, replacement := range k.Replacements {
		names = append(names, replacement.Path)
	}
	//lint:ignore SA1019 Kustomize still reads what it deprecates.
	for _, patch := range k.PatchesStrategicMerge {
		// The text is either a file's name or the patch itself, which is a mapping.
		if text := strings.TrimSpace(string(patch)); strings.HasPrefix(strings.ToLower(text), "http") {
			names = append(names, text)
		}
	}
	var sources []types.KvPairSources
	for _, generator := range k.ConfigMapGenerator {
		sources = append(sources, generator.KvPairSources)
	}
	for _, generator := range k.SecretGenerator {
		sources = append(sources, generator.KvPairSources)
	}
	for _, source := range sources {
		names = append(names, source.EnvSource)
		names = append(names, source.EnvSources...)
		for _, file := range source.FileSources {
			if _, after, ok := strings.Cut(file, "="); ok {
				file = after
			}
			names = append(names, file)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}
