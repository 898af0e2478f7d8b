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

// checked reads a kustomization file, and makes sure that nothing in it reaches out of the tree: Kustomize would fetch
// it, with the agent's network and rights.
func (f *buildFiles) checked(name string, built *builtFile) error {
	nodes, err := parse(name, built.content)
	if err != nil {
		return err
	}
	if len(nodes) != 1 {
		return &Error{Origin: manifest.Origin{File: name},
			Problem: fmt.Sprintf("a kustomization is one YAML document, and here are %d", len(nodes)), Hint: "keep one"}
	}
	if f.renderer.typedPatches(nodes[0]) {
		built.shown = []byte(written(nodes))
	}
	if name == f.top {
		if built.shown, err = f.withOrigins(name, nodes[0], built.shown); err != nil {
			return err
		}
	}
	// The check is of what Kustomize gets, read as it reads it: names of fields in any case, say.
	k, err := kustomizationOf(name, built.shown)
	if err != nil {
		return err
	}
	check := kustomizationCheck{files: f, name: name, text: strings.ToLower(string(built.content))}
	check.plugins(k)
	k.FixKustomization() // bases become resources, for one
	built.names = slices.Concat(k.Resources, k.Components, loaded(k))
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

// withOrigins has Kustomize annotate each object with the file that it came from.
func (f *buildFiles) withOrigins(name string, n *yaml.Node, content []byte) ([]byte, error) {
	k, err := kustomizationOf(name, content)
	if err != nil {
		return nil, err
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

// kustomizationCheck collects what is wrong with one kustomization file.
type kustomizationCheck struct {
	files *buildFiles
	name  string
	// text is that of the file in lower case.
	text  string
	found []*Error
}

// fail notes a problem at the first line that holds the text.
func (c *kustomizationCheck) fail(at, problem, hint string) {
	origin := manifest.Origin{File: c.name}
	if before, _, ok := strings.Cut(c.text, strings.ToLower(at)); ok {
		origin.Line = strings.Count(before, "\n") + 1
	}
	c.found = append(c.found, &Error{Origin: origin, Problem: problem, Hint: hint})
}

// plugins refuses what would run programs, or load configurations that name places to load from.
func (c *kustomizationCheck) plugins(k types.Kustomization) {
	for field, used := range map[string]bool{
		"generators": len(k.Generators) > 0, "transformers": len(k.Transformers) > 0, "validators": len(k.Validators) > 0,
	} {
		if used {
			c.fail(field, field+" are plugins, which Berth does not run",
				"use the kustomization's own fields (configMapGenerator, patches, labels, images, replacements, …)")
		}
	}
	for field, used := range map[string]bool{
		"helmCharts": len(k.HelmCharts) > 0, "helmGlobals": k.HelmGlobals != nil,
		"helmChartInflationGenerator": len(k.HelmChartInflationGenerator) > 0,
	} {
		if used {
			c.fail(field, field+": Berth does not run Helm", "commit the output of helm template and list it under resources")
		}
	}
}

// remote is what Kustomize may take for a repository or a web address. It is wider than
// Kustomize's own rules, which are not exported.
var remote = regexp.MustCompile(`(?i)^(github\.com|[a-z][a-z0-9-]*@)|:|\?|//`)

// local makes sure that a name is that of a file or folder in the tree.
func (c *kustomizationCheck) local(name string) {
	target := path.Join(path.Dir(c.name), name)
	switch {
	case remote.MatchString(name):
		c.fail(name, fmt.Sprintf("%q is remote, and Berth reads nothing but the repository", name),
			"copy it into the repository and name its path")
	case target == ".." || strings.HasPrefix(target, "../"):
		c.fail(name, fmt.Sprintf("%q leads out of the repository", name), "name a file or folder of this repository")
	case !exists(c.files.renderer.tree, target):
		c.files.renderer.inputs.record(target)
		c.fail(name, fmt.Sprintf("%q is not in this commit", name), "add it, or take it out of the kustomization")
	}
}

// loaded returns what the other fields load: files only, or for Kustomize web addresses.
func loaded(k types.Kustomization) []string {
	names := slices.Concat(k.Crds, k.Configurations)
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
		// Either a file or the patch itself, which is a mapping.
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
