package render

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"
)

// prepare finishes the files for Kustomize, once the use of each is known.
func (f *buildFiles) prepare() {
	uses := f.uses()
	for name, built := range f.cache {
		if built.err != nil || isKustomization(path.Base(name)) {
			continue
		}
		if content, sealed := f.renderer.veils.sealed(built.shown); sealed && built.encrypted {
			f.unseal(name, built, content, uses[name])
		}
		if uses[name]&asYAML != 0 && built.err == nil {
			if !built.encrypted {
				built.shown = unmarked(built.shown)
			}
			f.typed(name, built)
		}
	}
}

func (f *buildFiles) typed(name string, built *builtFile) {
	shown := f.renderer.typed(name, built.shown)
	if content, veiled := f.renderer.veils.files[string(built.shown)]; veiled {
		shown = f.renderer.veils.shown(string(shown), []byte(content))
	}
	built.shown = shown
}

// use says what Kustomize reads a file for; a file may have several uses.
type use int

const (
	// asVariables is a generator's list of NAME=value lines.
	asVariables use = 1 << iota
	// asContent is a generator's file that becomes one value.
	asContent
	// asYAML is everything else: resources, patches, configurations.
	asYAML
)

// uses returns the uses of all files that kustomizations name.
func (f *buildFiles) uses() map[string]use {
	uses := map[string]use{}
	for name, built := range f.cache {
		if !isKustomization(path.Base(name)) || built.err != nil {
			continue
		}
		k, err := kustomizationOf(name, built.shown)
		if err != nil {
			continue
		}
		generated, times := usesOf(k)
		for _, file := range built.names {
			at := path.Join(path.Dir(name), file)
			uses[at] |= generated[file]
			if times[file]--; times[file] < 0 { // it is named elsewhere too
				uses[at] |= asYAML
			}
		}
	}
	return uses
}

// usesOf returns how generators use files, and how often they name each.
func usesOf(k types.Kustomization) (uses map[string]use, times map[string]int) {
	var sources []types.KvPairSources
	for _, generator := range k.ConfigMapGenerator {
		sources = append(sources, generator.KvPairSources)
	}
	for _, generator := range k.SecretGenerator {
		sources = append(sources, generator.KvPairSources)
	}
	uses, times = map[string]use{}, map[string]int{}
	for _, source := range sources {
		for _, file := range append(slices.Clip(source.EnvSources), source.EnvSource) {
			uses[file] |= asVariables
			times[file]++
		}
		for _, file := range source.FileSources {
			if _, after, ok := strings.Cut(file, "="); ok {
				file = after
			}
			uses[file] |= asContent
			times[file]++
		}
	}
	return uses, times
}

// sealed returns the content of a file that was encrypted as a whole.
func (v *veils) sealed(shown []byte) (content string, sealed bool) {
	name := strings.TrimPrefix(string(shown), "\xff")
	if _, sealed = v.values[name]; sealed {
		content, sealed = v.files[string(shown)]
	}
	return content, sealed
}

// variableLine is a line of a generator's NAME=value file.
var variableLine = regexp.MustCompile(`(?m)^[ \t]*[^#=\s][^=\n]*=(.*)$`)

// unseal shows as much of the structure of a file that was encrypted as a whole as Kustomize needs.
func (f *buildFiles) unseal(name string, built *builtFile, content string, use use) {
	veils := f.renderer.veils
	switch {
	case use&asVariables != 0:
		shown := variableLine.ReplaceAllStringFunc(content, func(line string) string {
			key, value, _ := strings.Cut(line, "=")
			if value == "" {
				return line
			}
			return key + "=" + veils.veil(Value{Text: value})
		})
		built.shown = veils.shown(shown, []byte(content))
	case use&asYAML != 0:
		documents, err := parse(name, []byte(content))
		if err != nil {
			built.err = err
			f.problems.add(err)
			return
		}
		for _, n := range documents {
			veils.scalars(n)
		}
		veils.identify(documents)
		built.shown = veils.shown(written(documents), []byte(content))
		if err := f.renderer.onlySecrets(name, bytes.Clone(built.content), documents); err != nil {
			built.err = err
			f.problems.add(err)
		}
	}
}

// scalars veils the values below a node.
func (v *veils) scalars(n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		value := Value{Text: n.Value}
		if tag := n.ShortTag(); tag != "!!str" && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) == 0 {
			value.Tag = tag
		}
		n.Tag, n.Style, n.Value = "!!str", yaml.DoubleQuotedStyle, v.veil(value)
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			v.scalars(n.Content[i])
		}
	default:
		for _, child := range n.Content {
			v.scalars(child)
		}
	}
}
