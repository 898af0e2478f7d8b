package kustomize

import (
	"errors"
	"io"
	"slices"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"berth.dev/berth/internal/worker"
)

// Serve is all that a child process of a Builder does. It returns the code to exit with.
func Serve(in io.Reader, out io.Writer) (code int) {
	jsonpatch.AccumulatedCopySizeLimit = maxCopied
	return worker.Serve(in, out, serve)
}

// maxCopied bounds what the copy operations of one JSON patch may add to an object, in bytes: thirty that copy a field
// into itself stand for gigabytes. No object that a cluster takes is larger.
const maxCopied = 3 << 20

// serve builds once.
func serve(c *worker.Conn) error {
	var r request
	if err := c.Receive(&r); err != nil {
		return err
	}
	files := &askedFiles{conn: c, kinds: map[string]Kind{}, contents: map[string]reply{}}
	built, err := build(files, r)
	if files.broken != nil {
		return files.broken
	}
	if err != nil {
		return c.Send(message{Failed: cutAt(err.Error(), maxText)})
	}
	for _, one := range built {
		if err := c.Send(message{Built: one}); err != nil {
			return err
		}
	}
	return c.Send(message{Done: true})
}

// maxText bounds an error: some quote whole files.
const maxText = 64 << 10

func cutAt(text string, length int) string { return text[:min(len(text), length)] }

// build runs Kustomize, which panics on some hostile input.
func build(files *askedFiles, r request) (built []*wireResource, err error) {
	defer func() {
		if recover() != nil {
			built, err = nil, errors.New("a panic in its code")
		}
	}()
	kustomizer := krusty.MakeKustomizer(&krusty.Options{
		Reorder: krusty.ReorderOptionNone,
		// Files outside of a kustomization's folder are fine: the files that are asked for are those of the tree.
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	})
	objects, err := kustomizer.Run(files, absolute(r.Folder))
	if err != nil {
		return nil, err
	}
	for _, object := range objects.Resources() {
		one, err := withOrigin(object)
		if err != nil {
			return nil, err
		}
		built = append(built, one)
	}
	if !r.KeepOrigins {
		if err := removeOrigins(objects.Resources()); err != nil {
			return nil, err
		}
	}
	for i, object := range objects.Resources() {
		built[i].Node = encode(object.YNode())
	}
	return built, nil
}

func withOrigin(object *resource.Resource) (*wireResource, error) {
	from, err := object.GetOrigin()
	if err != nil {
		return nil, err
	}
	one := &wireResource{Kind: object.GetKind(), Name: object.GetName()}
	if from != nil {
		one.Path, one.ConfiguredIn = from.Path, from.ConfiguredIn
	}
	return one, nil
}

// originAnnotation is where Kustomize notes the file that an object came from.
const originAnnotation = "config.kubernetes.io/origin"

// removeOrigins removes the annotation from the objects, and from wherever a replacement or patch copied it.
func removeOrigins(objects []*resource.Resource) error {
	var given []string
	for _, object := range objects {
		given = append(given, object.GetAnnotations(originAnnotation)[originAnnotation])
	}
	for _, object := range objects {
		if err := object.SetOrigin(nil); err != nil {
			return err
		}
		removeCopies(object.YNode(), given)
	}
	return nil
}

func removeCopies(n *yaml.Node, given []string) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == originAnnotation && slices.Contains(given, n.Content[i+1].Value) {
				n.Content = slices.Delete(n.Content, i, i+2)
				break
			}
		}
	}
	for _, child := range n.Content {
		removeCopies(child, given)
	}
}
