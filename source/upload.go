package source

import (
	"bytes"
	"io"
	"strings"
)

// wanted is the request of a fetch: commits with their trees and without their history.
type wanted struct {
	commits []string // to be sent
	have    []string // held commits, so that only the difference is sent
}

// request writes w for the version the server speaks. It always ends with "done": one request, one answer, no rounds.
func (g *greeting) request(w wanted) ([]byte, error) {
	if g.version == 2 {
		return g.fetchCommand(w), nil
	}
	if !g.can("side-band-64k") || !g.can("shallow") {
		return nil, faultf(Unsupported, "the server is too old: it cannot send single commits")
	}
	return g.uploadRequest(w), nil
}

func (g *greeting) fetchCommand(w wanted) []byte {
	var m message
	g.command(&m, "fetch")
	m.line("no-progress")
	m.line("ofs-delta")
	if len(w.have) > 0 {
		m.line("thin-pack") // without it git sends a whole tree again and again: it uses held commits only as bases
	}
	m.line("deepen 1")
	for _, id := range w.have {
		m.line("shallow %s", id)
	}
	for _, id := range w.commits {
		m.line("want %s", id)
	}
	for _, id := range w.have {
		m.line("have %s", id)
	}
	m.line("done")
	m.flush()
	return m.Bytes()
}

func (g *greeting) uploadRequest(w wanted) []byte {
	capabilities := "side-band-64k shallow"
	optional := []string{"ofs-delta", "no-progress", "multi_ack_detailed"}
	if len(w.have) > 0 {
		optional = append(optional, "thin-pack")
	}
	for _, name := range optional {
		if g.can(name) {
			capabilities += " " + name
		}
	}
	if g.can("agent") {
		capabilities += " agent=" + agent
	}
	var m message
	for i, id := range w.commits {
		if i == 0 {
			id += " " + capabilities
		}
		m.line("want %s", id)
	}
	for _, id := range w.have {
		m.line("shallow %s", id)
	}
	m.line("deepen 1")
	m.flush()
	for _, id := range w.have {
		m.line("have %s", id)
	}
	m.line("done")
	return m.Bytes()
}

// The bands of side-band-64k.
const (
	packBand     = 1
	progressBand = 2
	errorBand    = 3
)

// packStream reads the pack from the answer to a fetch of either version. It ends with io.EOF only after the flush
// packet that marks it as complete.
type packStream struct {
	packets *packetReader
	begun   bool   // the pack has begun; before it come acknowledgements and shallow commits
	rest    []byte // of the current packet
	err     error
}

func newPackStream(g *greeting, r io.Reader) (*packStream, error) {
	s := &packStream{packets: newPacketReader(r)}
	if g.version != 2 {
		return s, nil
	}
	for {
		_, line, err := s.packets.line()
		if err != nil {
			return nil, err
		}
		if line == "packfile" {
			return s, nil
		}
	}
}

func (s *packStream) Read(buf []byte) (int, error) {
	for len(s.rest) == 0 && s.err == nil {
		s.rest, s.err = s.nextChunk()
	}
	if len(s.rest) == 0 {
		return 0, s.err
	}
	n := copy(buf, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *packStream) nextChunk() ([]byte, error) {
	k, data, err := s.packets.next()
	switch {
	case err != nil:
		return nil, err
	case k == flushPacket && s.begun:
		return nil, io.EOF
	case k != dataPacket || len(data) == 0:
		return nil, nil
	}
	switch data[0] {
	case packBand:
		s.begun = true
		return data[1:], nil
	case progressBand:
		return nil, nil
	case errorBand:
		return nil, remoteError(printable(data[1:]))
	}
	word, _, _ := strings.Cut(string(bytes.TrimSuffix(data, []byte("\n"))), " ")
	switch word {
	case "NAK", "ACK", "shallow", "unshallow":
		return nil, nil
	}
	return nil, faultf(NotGit, "the answer to a fetch is not in Git's format")
}
