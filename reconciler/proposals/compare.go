package proposals

import (
	"strings"

	"berth.dev/berth/reconciler/fields"
	"berth.dev/berth/reconciler/manifest"
)

// difference is what differs between two commits.
type difference struct {
	// list has the objects that differ, in the order of a sync; then those that are gone.
	list []pair
	// changed are their keys. proved are those that a dry run may validate: their content is known, and they hold no secrets. An
	// object is not validated if the cluster has it already, so the result would confirm a guess of its content.
	changed, proved map[manifest.Key]bool
	// names replaces names that are not known.
	names *strings.Replacer
}

// pair is an object in both commits; nil where it does not exist.
type pair struct {
	key         manifest.Key
	before, now *manifest.Object
	// renamed says that Kustomize generated both, with a hash of the content in the name.
	renamed bool
	// encrypted says that it has values that were not decrypted. A render lets them into no other kinds than those that may hold
	// secrets: there, the author wrote what looks like one, to hide what changes.
	encrypted bool
}

// guesses reports whether an author could replace a value that was not decrypted by a guess. What a sync would do depends on
// whether the guess is right.
func (p pair) guesses() bool { return p.before != nil && p.now != nil && p.encrypted }

// compare returns what differs between two sets. Objects of some kinds may hold secrets.
func compare(current, next manifest.Set, secret manifest.Kinds) difference {
	d := difference{changed: map[manifest.Key]bool{}, proved: map[manifest.Key]bool{}, names: shownAs(current, next)}
	before, now, renamed, replaced := index(current), index(next), regenerated(current, next), map[manifest.Key]bool{}
	note := func(p pair) {
		holds := secret.MayHoldSecrets(p.key.GroupKind())
		p.encrypted = holds && (p.before != nil && concealed(p.before.Unstructured) || p.now != nil && concealed(p.now.Unstructured))
		d.list, d.changed[p.key] = append(d.list, p), true
		if p.now != nil && !holds {
			d.proved[p.key] = true
		}
	}
	for _, o := range next.Objects {
		was, there := before[o.Key()]
		old, isRenamed := renamed[o.Key()]
		switch {
		case isRenamed:
			earlier := before[old]
			replaced[old] = true
			note(pair{key: o.Key(), before: &earlier, now: &o, renamed: true})
		case !there:
			note(pair{key: o.Key(), now: &o})
		case !same(was, o):
			note(pair{key: o.Key(), before: &was, now: &o})
		}
	}
	for _, o := range current.Objects {
		if _, there := now[o.Key()]; !there && !replaced[o.Key()] {
			note(pair{key: o.Key(), before: &o})
		}
	}
	return d
}

// changeOf describes what differs in one object, without the values of objects that may hold secrets.
func (d difference) changeOf(p pair, namespace string, kinds manifest.Kinds) Change {
	c := Change{Verb: Changed, Object: p.key.String()}
	if p.key.Namespace == namespace {
		c.Object = p.key.Short()
	}
	c.Object = d.names.Replace(c.Object)
	switch {
	case p.now == nil:
		c.Verb, c.Origin = Removed, p.before.Origin.String()
		return c
	case p.before == nil:
		c.Verb, c.Origin = Added, p.now.Origin.String()
		return c
	}
	c.Origin = p.now.Origin.String()
	if p.renamed {
		c.Reason = "its name ends with a hash of its content, so it gets a new one"
	}
	hidden := kinds.MayHoldSecrets(p.key.GroupKind())
	for _, change := range fields.Compare(p.before.Unstructured, p.now.Unstructured) {
		switch {
		case p.renamed && change.Path == "metadata.name":
			continue
		case hidden && fields.IsValue(change.Path):
			c.Keys++
			continue
		}
		change.Old, change.New = named(change.Old, d.names), named(change.New, d.names)
		if hidden { // labels and annotations may be encrypted, too
			change.Old, change.New = mark(change.Old), mark(change.New)
		}
		c.Fields = append(c.Fields, change)
	}
	return c
}

func mark(value any) any {
	if value == nil {
		return nil
	}
	return fields.Hidden
}
