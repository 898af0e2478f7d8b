package render

import (
	"fmt"
	"path"
	"regexp"

	"berth.dev/berth/reconciler/manifest"
	"sigs.k8s.io/kustomize/api/types"
)

// maxSteps bounds what a build takes, in comparisons of two objects, about half a microsecond each. Kustomize compares
// every object with every other in each kustomization that they pass through, and every change of many objects is
// remembered by each and read again at the next. Two kustomizations that both name the same two, a few levels deep,
// stand for billions. A build that is under way cannot be stopped, and all others wait for it. The limit leaves room
// for 5,000 objects, a base, an overlay and ten images.
const maxSteps = 100_000_000

// stepsOfVisit are those of a kustomization without objects, stepsOfChange those of reading again what an object
// remembers of one change.
const (
	stepsOfVisit  = 10_000
	stepsOfChange = 32
)

// cost is what a file or folder means for a build.
type cost struct{ objects, steps int }

// affordable says whether a build takes a reasonable time.
func (f *buildFiles) affordable() error {
	c := f.cost(f.top, map[string]cost{})
	if c.steps <= maxSteps {
		return nil
	}
	return &Error{Origin: manifest.Origin{File: f.top},
		Problem: fmt.Sprintf("Kustomize would take more than %d steps to build it, while all other environments wait: it compares all objects with each other, "+
			"in every kustomization that they pass through, and does so for each of the images and of the patches that are for many", maxSteps),
		Hint: "split it over several entries, or have fewer objects, levels, images and patches in one kustomization"}
}

// cost adds up what Kustomize will do. It stops adding at the limit.
func (f *buildFiles) cost(name string, known map[string]cost) cost {
	if isFolder(f.renderer.tree, name) {
		name = kustomizationIn(f.renderer.tree, name)
	}
	built, ok := f.cache[name]
	if !ok {
		return cost{}
	}
	if c, ok := known[name]; ok {
		return c
	}
	known[name] = cost{} // of a cycle, which Kustomize refuses
	c := cost{objects: built.generated, steps: stepsOfVisit}
	if !isKustomization(path.Base(name)) {
		nodes, err := f.documents(name)
		if err != nil {
			return cost{} // Kustomize says so, or builds nothing of it
		}
		c = cost{objects: len(flatten(nodes))}
	}
	for _, resource := range built.resources {
		below := f.cost(path.Join(path.Dir(name), resource), known)
		c = cost{objects: min(c.objects+below.objects, maxSteps), steps: min(c.steps+below.steps, maxSteps+1)}
	}
	if isKustomization(path.Base(name)) {
		c.steps = min(c.steps+c.objects*min(c.objects+stepsOfChange*built.changes*built.changes, maxSteps), maxSteps+1)
	}
	known[name] = c
	return c
}

// plainName is what names one object and is no pattern.
var plainName = regexp.MustCompile(`^[a-z0-9.-]+$`)

// changes counts what a kustomization changes in many objects.
func changes(k types.Kustomization) int {
	count := len(k.Images) + len(k.Replicas) + len(k.Replacements) + len(k.Labels) + len(k.Configurations)
	//lint:ignore SA1019 Kustomize still reads what it deprecates.
	vars, patches := len(k.Vars), append(k.Patches, k.PatchesJson6902...)
	for _, patch := range patches {
		if patch.Target != nil && !plainName.MatchString(patch.Target.Name) {
			count++
		}
	}
	return min(count+vars, maxSteps/10_000)
}
