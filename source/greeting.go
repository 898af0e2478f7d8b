package source

import (
	"io"
	"strings"
)

// agent is how we name ourselves to servers; without a version, since requests should not differ between releases.
const agent = "berth"

const headsPrefix = "refs/heads/"

// greeting is what a server says first: in version 2 what it can do, in version 0 that and all its refs.
type greeting struct {
	version      int
	capabilities map[string]string // name to value, "" where there is none
	listing      Listing           // version 0 only
}

func (g *greeting) can(capability string) bool {
	_, found := g.capabilities[capability]
	return found
}

// readGreeting reads a complete advertisement, with or without the preamble that HTTP puts before it.
func readGreeting(r io.Reader) (*greeting, error) {
	p := newPacketReader(r)
	k, line, err := p.line()
	if err == nil && k == dataPacket && strings.HasPrefix(line, "# service=") {
		if k, _, err = p.next(); err == nil && k == flushPacket {
			k, line, err = p.line()
		}
	}
	if err == nil && k == dataPacket && line == "version 1" {
		k, line, err = p.line()
	}
	g := &greeting{}
	switch {
	case err != nil:
		return nil, err
	case k == dataPacket && line == "version 2":
		g.version = 2
		g.capabilities, err = readCapabilities(p)
	case k == flushPacket: // servers before git 2.14 say nothing about an empty repository
		g.listing.Heads = map[string]string{}
	default:
		err = g.readRefs(p, line)
	}
	if err != nil {
		return nil, err
	}
	return g, g.check()
}

func readCapabilities(p *packetReader) (map[string]string, error) {
	capabilities := map[string]string{}
	for {
		k, line, err := p.line()
		if err != nil || k != dataPacket {
			return capabilities, err
		}
		name, value, _ := strings.Cut(line, "=")
		capabilities[name] = value
	}
}

// readRefs reads the advertisement of versions 0 and 1, whose first line carries the capabilities behind a NUL.
func (g *greeting) readRefs(p *packetReader, line string) error {
	first, capabilities, found := strings.Cut(line, "\x00")
	if !found {
		return faultf(NotGit, "the answer is not a list of Git references")
	}
	g.capabilities = map[string]string{}
	head := ""
	for field := range strings.FieldsSeq(capabilities) {
		name, value, _ := strings.Cut(field, "=")
		g.capabilities[name] = value
		if target, found := strings.CutPrefix(field, "symref=HEAD:"); found {
			head = target
		}
	}
	if err := g.check(); err != nil {
		return err
	}
	refs := refList{heads: map[string]string{}, head: head}
	line = first
	for {
		if err := refs.add(line); err != nil {
			return err
		}
		k, next, err := p.line()
		if err != nil {
			return err
		}
		if k != dataPacket {
			g.listing = refs.listing()
			return nil
		}
		line = next
	}
}

// check refuses what is not spoken here before anything is misread.
func (g *greeting) check() error {
	if format := g.capabilities["object-format"]; format != "" && format != "sha1" {
		return &fault{reason: Unsupported, cause: "the repository stores its objects as " + format,
			hint: "Berth reads SHA-1 repositories; convert it or mirror it into one"}
	}
	if g.version == 2 && (!g.can("ls-refs") || !g.can("fetch")) {
		return faultf(NotGit, "the server offers no ls-refs or no fetch")
	}
	return nil
}

// refList gathers reference lines, of which it keeps the branches.
type refList struct {
	heads map[string]string
	head  string // the ref that HEAD points to
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
				l.head = target
			}
		}
	}
	if branch, found := strings.CutPrefix(ref, headsPrefix); found && branch != "" {
		l.heads[branch] = id
	}
	return nil
}

func (l *refList) listing() Listing {
	listing := Listing{Heads: l.heads}
	branch, found := strings.CutPrefix(l.head, headsPrefix)
	if _, exists := l.heads[branch]; found && exists {
		listing.Default = branch
	}
	return listing
}

// lsRefs asks for all branches and for what HEAD points to, and for nothing else.
func (g *greeting) lsRefs() []byte {
	var m message
	g.command(&m, "ls-refs")
	m.line("symrefs")
	m.line("ref-prefix HEAD")
	m.line("ref-prefix %s", headsPrefix)
	m.flush()
	return m.Bytes()
}

// command begins a request of version 2; what it may carry is what the server offered.
func (g *greeting) command(m *message, name string) {
	m.line("command=%s", name)
	if g.can("agent") {
		m.line("agent=%s", agent)
	}
	if g.can("object-format") {
		m.line("object-format=sha1")
	}
	m.delim()
}

// readListing reads the answer to lsRefs.
func readListing(r io.Reader) (Listing, error) {
	p := newPacketReader(r)
	refs := refList{heads: map[string]string{}}
	for {
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
}

func isObjectID(text string) bool {
	if len(text) != 40 {
		return false
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
