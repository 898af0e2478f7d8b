package plan

import (
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
)

// dependencies are what the objects of a set wait for in addition to their waves.
type dependencies struct {
	set   map[manifest.Key]*manifest.Object
	named names
	of    map[manifest.Key][]manifest.Key
	// wrong has, by object, why its dependencies can never be met.
	wrong map[manifest.Key]string
	// latest has, by object, the last of the objects that have to settle before it, in the order of waves.
	latest  map[manifest.Key]manifest.Key
	visited map[manifest.Key]bool
	path    []manifest.Key // the current path of visit
}

// dependenciesOf reads the annotation config.kubernetes.io/depends-on of all objects of a set. It is nil if no object
// has one.
func dependenciesOf(set manifest.Set) *dependencies {
	var d *dependencies
	for i := range set.Objects {
		o := &set.Objects[i]
		text := annotation(o, manifest.AnnotationDependsOn)
		if text == "" {
			continue
		}
		if d == nil {
			d = newDependencies(set)
		}
		d.read(o, text)
	}
	if d == nil {
		return nil
	}
	for i := range set.Objects {
		d.visit(set.Objects[i].Key())
	}
	return d
}

// Misdependent returns the errors in the dependencies of a set's objects: cycles, missing targets, and malformed
// references. No sync of such a set can succeed.
func Misdependent(set manifest.Set) []error {
	d := dependenciesOf(set)
	var errs []error
	for i := range set.Objects {
		o := &set.Objects[i]
		if wrong := d.mistake(o.Key()); wrong != "" {
			errs = append(errs, fmt.Errorf("%s: %s: %s", o.Origin, o.Key().Short(), wrong))
		}
	}
	return errs
}

func newDependencies(set manifest.Set) *dependencies {
	d := &dependencies{
		set: map[manifest.Key]*manifest.Object{}, named: names{}, of: map[manifest.Key][]manifest.Key{},
		wrong: map[manifest.Key]string{}, latest: map[manifest.Key]manifest.Key{}, visited: map[manifest.Key]bool{},
	}
	for i := range set.Objects {
		key := set.Objects[i].Key()
		d.set[key] = &set.Objects[i]
		d.named.add(key)
	}
	return d
}

// annotation returns one annotation without copying all of them.
func annotation(o *manifest.Object, name string) string {
	metadata, _ := o.Object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	value, _ := annotations[name].(string)
	return value
}

// read records what one object depends on.
func (d *dependencies) read(o *manifest.Object, text string) {
	from := o.Key()
	for _, reference := range references(text) {
		target, wrong := d.resolve(from, reference)
		if wrong != "" {
			d.wrong[from] = wrong
			continue
		}
		d.of[from] = append(d.of[from], target)
	}
}

// resolve returns the one object of the set that a reference means, or what is wrong with the reference.
func (d *dependencies) resolve(from manifest.Key, reference string) (manifest.Key, string) {
	found, isReference := d.named.find(from, reference)
	switch {
	case !isReference:
		return manifest.Key{}, fmt.Sprintf("has the annotation %s with %q, which is neither group/namespaces/namespace/Kind/name nor group/Kind/name nor Kind/name",
			manifest.AnnotationDependsOn, reference)
	case len(found) == 0:
		return manifest.Key{}, fmt.Sprintf("depends on %s, which is not in Git; correct %s, or add it", reference, manifest.AnnotationDependsOn)
	case len(found) > 1:
		return manifest.Key{}, fmt.Sprintf("depends on %s, which may be %s or %s; write the group and the namespace too", reference, found[0].GroupKind(), found[1].GroupKind())
	}
	return found[0], ""
}

// visit finds cycles, and dependencies on objects of a later wave.
func (d *dependencies) visit(key manifest.Key) {
	if i := slices.Index(d.path, key); i >= 0 {
		d.circular(d.path[i:])
		return
	}
	if d.visited[key] {
		return
	}
	d.visited[key] = true
	d.path = append(d.path, key)
	for _, target := range d.of[key] {
		d.visit(target)
		d.awaits(key, target)
		if last, ok := d.latest[target]; ok {
			d.awaits(key, last)
		}
	}
	d.path = d.path[:len(d.path)-1]
	if last, ok := d.latest[key]; ok && gated(d.place(key)) && after(d.place(last), d.place(key)) {
		d.wrong[key] = fmt.Sprintf("depends on %s, which comes in the later wave %d; give it an earlier wave, or this one a later", d.name(last), d.place(last).Wave)
	}
}

// awaits records that one object waits for another, if no object that it waits for comes later.
func (d *dependencies) awaits(key, target manifest.Key) {
	last, ok := d.latest[key]
	if gated(d.place(target)) && (!ok || after(d.place(target), d.place(last))) {
		d.latest[key] = target
	}
}

// circular records for all objects of a cycle that they wait for themselves.
func (d *dependencies) circular(cycle []manifest.Key) {
	var names []string
	for _, key := range cycle {
		names = append(names, d.name(key))
	}
	for i, key := range cycle {
		way := slices.Concat(names[i:], names[:i+1])
		d.wrong[key] = "depends on itself: " + strings.Join(way, " needs ") + "; remove one of these from " + manifest.AnnotationDependsOn
	}
}

// place returns the position of an object in the order of waves. An invalid wave is reported elsewhere.
func (d *dependencies) place(key manifest.Key) manifest.Place {
	place, _ := manifest.PlaceOf(*d.set[key])
	return place
}

func (d *dependencies) name(key manifest.Key) string {
	return fmt.Sprintf("%s (%s)", key.Short(), d.set[key].Origin)
}

// after reports whether one place's wave comes after another's.
func after(p, q manifest.Place) bool {
	return p.Phase > q.Phase || p.Phase == q.Phase && p.Wave > q.Wave
}

// mistake returns what is wrong with an object's dependencies.
func (d *dependencies) mistake(key manifest.Key) string {
	if d == nil {
		return ""
	}
	return d.wrong[key]
}

// depend blocks the steps whose dependencies have not settled.
func (m *maker) depend() {
	if m.dependencies == nil {
		return
	}
	steps := make(map[manifest.Key]Step, len(m.steps))
	for _, s := range m.steps {
		steps[s.Key] = s
	}
	for i := range m.steps {
		s := &m.steps[i]
		for _, key := range m.dependencies.of[s.Key] {
			if needed := steps[key]; waitsAtGates(*s) && !needed.passes() {
				s.block(forStep, fmt.Sprintf("waits for %s, on which it depends", needed.Key.Short()))
				steps[s.Key] = *s
			}
		}
	}
}
