package render

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"berth.dev/berth/reconciler/manifest"
)

// agentMarks are the marks that Berth itself sets.
var agentMarks = map[string][]string{
	"labels": {manifest.LabelEnvironment},
	"annotations": {manifest.AnnotationDigest, manifest.AnnotationRepository, manifest.AnnotationBranch,
		manifest.AnnotationEnvironment, manifest.AnnotationRestartedFor},
}

// unreserved refuses an object with Berth's own marks, in its metadata or in that of any template: the objects that a
// controller makes from a template would seem to be ours.
func (c checker) unreserved() *Error { return c.unmarked(c.content, nil) }

func (c checker) unmarked(value any, path []string) *Error {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			below := append(slices.Clone(path), key)
			if key == "metadata" {
				if err := c.markless(value[key], below); err != nil {
					return err
				}
			}
			if err := c.unmarked(value[key], below); err != nil {
				return err
			}
		}
	case []any:
		for i, item := range value {
			if err := c.unmarked(item, append(slices.Clone(path), strconv.Itoa(i))); err != nil {
				return err
			}
		}
	}
	return nil
}

// markless refuses marks of ours in one metadata.
func (c checker) markless(metadata any, path []string) *Error {
	content, _ := metadata.(map[string]any)
	for _, group := range []string{"labels", "annotations"} {
		marks, _ := content[group].(map[string]any)
		for _, mark := range agentMarks[group] {
			if _, ok := marks[mark]; ok {
				at := append(slices.Clone(path), group)
				return c.fail(append(slices.Clone(at), mark), fmt.Sprintf("%s has %s, which Berth itself sets", strings.Join(at, "."), mark), "remove it")
			}
		}
	}
	return nil
}
