package kustomize

import (
	"errors"
	"io"
	"path"
	"regexp"
	"slices"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"berth.dev/berth/internal/worker"
)

// Serve is the whole program of a Builder's child process. It returns the exit code.
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
	files := &askedFiles{conn: c, folder: path.Clean(r.Folder), kinds: map[string]Kind{}, contents: map[string]reply{}}
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

// build runs Kustomize. Berth lets it note the origin of each object in an annotation. That can change the result of
// patches that look at annotations: a JSON patch may only add one if there are others, or may test them all. In that
// case it runs once more without origins, and that result counts.
func build(files *askedFiles, r request) ([]*wireResource, error) {
	objects, err := run(files, r.Folder)
	if r.KeepOrigins || !files.mention(annotations) {
		return encoded(objects, err, r)
	}
	noted, err := encoded(objects, err, r)
	openapi.ResetOpenAPI()
	files.plain = true
	objects, plainErr := run(files, r.Folder)
	built, plainErr := encoded(objects, plainErr, request{KeepOrigins: true}) // there are none to remove
	if plainErr == nil && err == nil && len(built) == len(noted) {
		for i, one := range built {
			one.Path, one.ConfiguredIn = noted[i].Path, noted[i].ConfiguredIn
		}
	}
	return built, plainErr
}

// annotations matches how patches and replacements name the annotations of an object.
var annotations = regexp.MustCompile(`metadata[/.]annotations`)

// run runs Kustomize once, and recovers from panics, which some hostile input causes.
func run(files *askedFiles, folder string) (objects resmap.ResMap, err error) {
	defer func() {
		if recover() != nil {
			objects, err = nil, errors.New("a panic in its code")
		}
	}()
	kustomizer := krusty.MakeKustomizer(&krusty.Options{
		Reorder: krusty.ReorderOptionNone,
		// Files outside of a kustomization's folder are fine: only files of the tree can be asked for.
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	})
	return kustomizer.Run(files, absolute(folder))
}

// encoded returns objects as they are sent to the parent.
func encoded(objects resmap.ResMap, err error, r request) ([]*wireResource, error) {
	if err != nil {
		return nil, err
	}
	var built []*wireResource
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
