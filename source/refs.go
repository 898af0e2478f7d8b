package source

import (
	"fmt"
	"io"
	"strings"
)

const headsPrefix = "refs/heads/"

// maxOthers bounds how many commits of other branches a Listing keeps.
const maxOthers = 256

// query selects the references to keep from a list, and bounds its length. Its zero value keeps nothing.
type query struct {
	keep     func(branch string) bool
	branches int      // most branches that the repository may have; 0: any number
	only     []string // if not nil, only these branches are requested
}

// refList reads reference lines one by one. It holds the references that the query selects, and a bounded sample of
// the rest.
type refList struct {
	query
	result     Listing
	head       string // the ref that HEAD points to
	headExists bool
}

func newRefList(q query) *refList {
	return &refList{query: q, result: Listing{Heads: map[string]string{}}}
}

// add reads "<id> <ref>[ <attribute>]…"; the attributes are version 2's.
func (l *refList) add(line string) error {
	id, rest, found := strings.Cut(line, " ")
	ref, attributes, _ := strings.Cut(rest, " ")
	switch {
	case strings.HasPrefix(id, "shallow") || id == "unborn":
		return nil
	case !found || !isObjectID(id):
		return faultf(NotGit, "the list of references has a line that is none: %q", printable([]byte(line)))
	}
	if ref == "HEAD" {
		for attribute := range strings.FieldsSeq(attributes) {
			if target, found := strings.CutPrefix(attribute, "symref-target:"); found {
				l.head = strings.Clone(target)
			}
		}
	}
	if branch, found := strings.CutPrefix(ref, headsPrefix); found && branch != "" {
		return l.addBranch(branch, id)
	}
	return nil
}

// addBranch counts a branch. Kept strings are cloned, because a line is longer than its name.
func (l *refList) addBranch(branch, id string) error {
	l.result.Branches++
	if l.branches > 0 && l.result.Branches > l.branches {
		return &fault{reason: TooLarge, cause: fmt.Sprintf("the repository has more than %d branches", l.branches),
			hint: "delete unused branches, or raise limits.branches of the Repository"}
	}
	isDefault := l.head == headsPrefix+branch
	l.headExists = l.headExists || isDefault
	kept := l.keep != nil && l.keep(branch) // keep is called for every branch
	switch {
	case isDefault, kept:
		l.result.Heads[strings.Clone(branch)] = strings.Clone(id)
	case len(l.result.Others) < maxOthers:
		l.result.Others = append(l.result.Others, strings.Clone(id))
	}
	return nil
}

// complete reports whether all requested branches have been seen.
func (l *refList) complete() bool {
	for _, branch := range l.only {
		if _, found := l.result.Heads[branch]; !found {
			return false
		}
	}
	return l.only != nil
}

func (l *refList) listing() Listing {
	branch := strings.TrimPrefix(l.head, headsPrefix)
	if _, kept := l.result.Heads[branch]; l.headExists || kept {
		l.result.Default = branch
	}
	return l.result
}

// lsRefs requests all branches, or those with the prefixes in q.only, and the target of HEAD.
func (g *greeting) lsRefs(q query) []byte {
	var m message
	g.command(&m, "ls-refs")
	m.line("symrefs")
	m.line("ref-prefix HEAD")
	if q.only == nil {
		m.line("ref-prefix %s", headsPrefix)
	}
	for _, branch := range q.only {
		m.line("ref-prefix %s%s", headsPrefix, branch)
	}
	m.flush()
	return m.Bytes()
}

// readListing reads the answer to lsRefs. It stops early once all branches that were requested by name have come.
func readListing(r io.Reader, q query) (Listing, error) {
	p := newPacketReader(r)
	refs := newRefList(q)
	for !refs.complete() {
		k, line, err := p.line()
		switch {
		case err != nil:
			return Listing{}, err
		case k == flushPacket:
			return refs.listing(), nil
		case k != dataPacket:
			return Listing{}, faultf(NotGit, "the list of references has sections")
		}
		if err := refs.add(line); err != nil {
			return Listing{}, err
		}
	}
	return refs.listing(), nil
}
