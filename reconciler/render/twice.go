package render

import (
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
)

// twice finds the object that Kustomize got more than once, and its places, if that is the error. Kustomize itself
// names no file, and its words are withheld if a file was decrypted.
func (f *buildFiles) twice(cause error) error {
	_, id, found := strings.Cut(cause.Error(), "already registered id: ")
	if !found {
		return nil
	}
	id, _, _ = strings.Cut(id, "'")
	var object string
	var places []string
	var first manifest.Origin
	for _, name := range f.read {
		if !isManifest(name) {
			continue
		}
		for _, n := range f.nodes(name) {
			kind, called := field(n, "kind"), field(n, "metadata", "name")
			// As Kustomize writes it: Kind.version.group/name.[namespace]
			if kind == nil || called == nil || !strings.HasPrefix(id, kind.Value+".") || !strings.Contains(id, "/"+called.Value+".") {
				continue
			}
			origin := manifest.Origin{File: name, Line: n.Line}
			if object = kind.Value + "/" + called.Value; first.File == "" {
				first = origin
			}
			places = append(places, origin.String())
		}
	}
	switch len(places) {
	case 0:
		return nil
	case 1:
		return &Error{Origin: first, Object: object, Problem: "it is listed more than once", Hint: "name it in one kustomization's resources, once"}
	}
	slices.Sort(places)
	return &Error{Origin: first, Object: object, Problem: fmt.Sprintf("it is defined more than once: %s", strings.Join(places, ", ")), Hint: "remove one"}
}
