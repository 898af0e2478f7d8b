package render

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/manifest"
)

// explain says why a build failed: a limit, the first file that is not YAML, or what a user has to correct. Otherwise
// it quotes Kustomize, whose words may contain parts of files. Decrypted values in them are veiled.
func (f *buildFiles) explain(cause error) error {
	e := &Error{Origin: manifest.Origin{File: f.top}, Problem: "Kustomize cannot build it"}
	if limit, ok := errors.AsType[*kustomize.LimitError](cause); ok {
		e.Cause, e.Hint = limit, "have fewer objects, levels and patches in one kustomization, or split it over several entries"
		return e
	}
	if _, ok := errors.AsType[*kustomize.Error](cause); !ok {
		e.Cause = cause
		switch {
		case errors.Is(cause, kustomize.ErrPanicked):
			e.Hint = "correct it until this builds it: kustomize build " + path.Dir(f.top)
		case !errors.Is(cause, errNoKustomize):
			e.Cause = &passing{cause}
		}
		return e
	}
	for _, name := range f.read {
		if !isManifest(name) {
			continue
		}
		if _, err := f.parsed(name); err != nil {
			return err
		}
	}
	if err := f.twice(cause); err != nil {
		return err
	}
	text := cause.Error()
	for _, known := range knownErrors {
		if match := known.pattern.FindStringSubmatch(text); match != nil {
			if err := known.explain(f, match); err != nil {
				return err
			}
		}
	}
	text = strings.ReplaceAll(strings.TrimSpace(unveiled(text)), "'/", "'")
	text = pointer.ReplaceAllString(text, "")
	e.Cause = errors.New(strings.ReplaceAll(text, "\n", " "))
	if strings.Contains(text, veilDots) {
		e.Hint = veilDots + " stands for an encrypted value, which Kustomize cannot split: encrypt its parts separately"
	}
	return e
}

// pointer matches a memory address, which differs every time.
var pointer = regexp.MustCompile(`\s*&?\{?(?:0x[0-9a-f]+ ?)+\}?`)

// knownError is an error of Kustomize that Berth explains better. The explanation is nil if it cannot.
type knownError struct {
	pattern *regexp.Regexp
	explain func(f *buildFiles, match []string) *Error
}

// knownErrors are matched in this order.
var knownErrors = []knownError{
	{regexp.MustCompile(`no matches for Id ([^.\s]+)\.[^/\s]*/([^\s]+?)\.\[?[a-zA-Z0-9-]+\]?;`), (*buildFiles).noTarget},
	{regexp.MustCompile(`must specify a target for JSON patch \[path: "([^"]*)"`), (*buildFiles).untargeted},
	{regexp.MustCompile(`(?s)unable to parse SM or JSON patch from \[(path|patch): "?([^"\]]*)`), (*buildFiles).noPatch},
	{regexp.MustCompile(`add operation does not apply: doc is missing path: "?([^"\s]*)`), (*buildFiles).missingParent},
	{regexp.MustCompile(`(?:doc is missing path: (/\S*?)|error in remove for path: '([^']*)'.*?): `), (*buildFiles).missingPath},
	{regexp.MustCompile(`Kind:"([^"]*)".*Name:"([^"]*)".* exists; can not use behavior`), (*buildFiles).generatedTwice},
	{regexp.MustCompile(`Kind:"([^"]*)".*Name:"([^"]*)".* does not exist; cannot merge or replace`), (*buildFiles).nothingToMerge},
	{regexp.MustCompile(`namespace transformation produces ID conflict: .*?"kind":"([^"]*)","metadata":\{.*?[^s]"name":"([^"]*)"`), (*buildFiles).sameNamespace},
	{regexp.MustCompile(`missing Resource metadata|missing metadata\.name in object|missing kind in object`), (*buildFiles).noObject},
	{regexp.MustCompile(`external plugins disabled; unable to load external plugin '([^']*)'`), (*buildFiles).plugin},
	{regexp.MustCompile(`must specify --enable-helm|Helm`), (*buildFiles).helm},
	{regexp.MustCompile(`too many open files`), (*buildFiles).reachesOut},
	{regexp.MustCompile(`Found multiple kustomization files under: /(\S*)`), (*buildFiles).severalFiles},
}

// originOf returns the first place in the files of the build that holds a text, or else the kustomization.
func (f *buildFiles) originOf(text string) manifest.Origin {
	for _, name := range f.read {
		if before, _, ok := strings.Cut(string(f.cache[name].content), text); ok && text != "" && !f.cache[name].encrypted {
			return manifest.Origin{File: name, Line: strings.Count(before, "\n") + 1}
		}
	}
	return manifest.Origin{File: f.top}
}

// named returns the places of the objects of a kind and name.
func (f *buildFiles) named(kind, name string) (places []manifest.Origin) {
	for _, file := range f.read {
		if !isManifest(file) || isKustomization(path.Base(file)) {
			continue
		}
		for _, n := range f.nodes(file) {
			k, called := field(n, "kind"), field(n, "metadata", "name")
			if k != nil && called != nil && k.Value == kind && called.Value == name {
				places = append(places, manifest.Origin{File: file, Line: n.Line})
			}
		}
	}
	return places
}

func (f *buildFiles) noTarget(match []string) *Error {
	kind, name := match[1], unveiled(match[2])
	e := &Error{Origin: f.originOf("name: " + name), Object: kind + "/" + name, Problem: "a patch is for it, and no resource is of this kind and name",
		Hint: "correct kind, name and namespace of the patch, or list the resource"}
	if places := f.named(kind, name); len(places) > 0 {
		e.Origin = places[0]
	}
	return e
}

func (f *buildFiles) untargeted(match []string) *Error {
	return &Error{Origin: f.originOf(match[1]), Problem: fmt.Sprintf("the JSON patch %q names no target", match[1]),
		Hint: "add target: {kind: …, name: …} beside its path"}
}

func (f *buildFiles) noPatch(match []string) *Error {
	what, origin := "a patch", f.originOf("patches")
	if match[1] == "path" {
		what, origin = fmt.Sprintf("the patch %q", match[2]), f.originOf(match[2])
	}
	return &Error{Origin: origin, Problem: what + " is neither a part of an object nor a list of JSON patch operations",
		Hint: "write the object's apiVersion, kind, metadata.name and what changes; or - op: …, path: …, value: …"}
}

func (f *buildFiles) missingPath(match []string) *Error {
	place := "/" + strings.TrimPrefix(match[1]+match[2], "/")
	return &Error{Origin: f.originOf(place), Problem: fmt.Sprintf("a JSON patch changes or removes %s, which the object does not have", unveiled(place)),
		Hint: "correct the path, or write op: add"}
}

func (f *buildFiles) missingParent(match []string) *Error {
	return &Error{Origin: f.originOf(match[1]), Problem: fmt.Sprintf("a JSON patch adds %s, and the object does not have what should hold it", unveiled(match[1])),
		Hint: "add that first, with a value such as {}"}
}

func (f *buildFiles) generatedTwice(match []string) *Error {
	object := match[1] + "/" + unveiled(match[2])
	return &Error{Origin: f.originOf("name: " + match[2]), Object: object, Problem: "it is generated, and there is one of this name already",
		Hint: "give it another name, or set behavior: merge or replace"}
}

func (f *buildFiles) nothingToMerge(match []string) *Error {
	object := match[1] + "/" + unveiled(match[2])
	return &Error{Origin: f.originOf("name: " + match[2]), Object: object, Problem: "a generator has behavior merge or replace, and no listed resource has this name",
		Hint: "correct the name, or remove the behavior"}
}

func (f *buildFiles) sameNamespace(match []string) *Error {
	return &Error{Origin: f.originOf("namespace:"), Object: match[1] + "/" + unveiled(match[2]), Problem: "the kustomization's namespace gives two objects the same namespace and name",
		Hint: "rename one, or set their namespaces in two kustomizations"}
}

// noObject finds the first document that lacks a field that every object needs.
func (f *buildFiles) noObject([]string) *Error {
	uses := f.uses()
	for _, file := range f.read {
		if !isManifest(file) || isKustomization(path.Base(file)) || uses[file]&asYAML == 0 {
			continue
		}
		for _, n := range f.nodes(file) {
			for _, key := range [][]string{{"kind"}, {"apiVersion"}, {"metadata", "name"}} {
				if value := field(n, key...); value == nil || value.Value == "" {
					return &Error{Origin: manifest.Origin{File: file, Line: n.Line}, Object: objectName(nil, n), Problem: "it has no " + strings.Join(key, "."),
						Hint: "if it is not a manifest, but a values.yaml for example, remove it from resources"}
				}
			}
		}
	}
	return nil
}

func (f *buildFiles) plugin(match []string) *Error {
	return &Error{Origin: f.originOf("kind: " + match[1]), Problem: match[1] + " is a plugin, which Berth does not run", Hint: noPlugins}
}

func (f *buildFiles) helm([]string) *Error {
	origin := f.originOf("HelmChartInflationGenerator")
	if origin.Line == 0 {
		return nil
	}
	return &Error{Origin: origin, Problem: "Berth does not run Helm", Hint: noHelm}
}

func (f *buildFiles) reachesOut([]string) *Error {
	return &Error{Origin: manifest.Origin{File: f.top}, Problem: "Kustomize takes a name in it for a remote repository or a web address, and Berth reads only this repository",
		Hint: "begin the names of folders with ./"}
}

func (f *buildFiles) severalFiles(match []string) *Error {
	return &Error{Origin: manifest.Origin{File: f.top}, Problem: fmt.Sprintf("the folder %q has several kustomization files", match[1]), Hint: "keep one"}
}
