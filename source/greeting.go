package source

import (
	"io"
	"slices"
	"strings"
)

// agent is the name that Berth sends to servers; without a version, since requests should not differ between
// releases.
const agent = "berth"

// greeting is a server's first message: in version 2 its capabilities, in version 0 also all its refs.
type greeting struct {
	version      int
	capabilities map[string]string // name to value, "" where there is none
	listing      Listing           // version 0 only
}

func (g *greeting) can(capability string) bool {
	_, found := g.capabilities[capability]
	return found
}

// readGreeting reads a complete advertisement, with or without the preamble that HTTP puts before it. Version 0 lists
// references in it; readGreeting keeps those that q selects.
func readGreeting(r io.Reader, q query) (*greeting, error) {
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
		err = g.readCapabilities(p)
	case k == flushPacket: // servers before git 2.14 send nothing for an empty repository
		g.listing = newRefList(q).listing()
	default:
		err = g.readRefs(p, line, q)
	}
	if err != nil {
		return nil, err
	}
	return g, g.check()
}

// spoken are the capabilities that Berth uses. No others are kept, however many a server offers.
var spoken = []string{"agent", "object-format", "ls-refs", "fetch", "side-band-64k", "shallow", "ofs-delta", "no-progress", "multi_ack_detailed", "thin-pack"}

func (g *greeting) offer(capability string) {
	name, value, _ := strings.Cut(capability, "=")
	if slices.Contains(spoken, name) {
		g.capabilities[name] = value
	}
}

func (g *greeting) readCapabilities(p *packetReader) error {
	g.capabilities = map[string]string{}
	for {
		k, line, err := p.line()
		if err != nil || k != dataPacket {
			return err
		}
		g.offer(line)
	}
}

// readRefs reads the advertisement of versions 0 and 1, whose first line carries the capabilities behind a NUL.
func (g *greeting) readRefs(p *packetReader, line string, q query) error {
	first, capabilities, found := strings.Cut(line, "\x00")
	if !found {
		return faultf(NotGit, "the answer is not a list of Git references")
	}
	g.capabilities = map[string]string{}
	refs := newRefList(q)
	for field := range strings.FieldsSeq(capabilities) {
		g.offer(field)
		if target, found := strings.CutPrefix(field, "symref=HEAD:"); found {
			refs.head = target
		}
	}
	if err := g.check(); err != nil {
		return err
	}
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

// check refuses unsupported formats before they are misread.
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

// command begins a request of version 2, with the options that the server offered.
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
