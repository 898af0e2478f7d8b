package source

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"unicode"
)

// kind tells the pkt-lines of protocol v2 apart; go-git's scanner knows only data and flush.
type kind int

const (
	dataPacket  kind = iota
	flushPacket      // 0000 ends a message
	delimPacket      // 0001 separates the sections of a message
	endPacket        // 0002 ends an answer on a connection that stays open
)

// maxPacket is the largest pkt-line, its length included: LARGE_PACKET_MAX of git.
const maxPacket = 65520

// packetReader reads pkt-lines. The end of the input is always unexpected: every message ends with a flush.
type packetReader struct {
	r   *bufio.Reader
	buf [maxPacket]byte
}

func newPacketReader(r io.Reader) *packetReader { return &packetReader{r: bufio.NewReader(r)} }

// next returns the next packet; its data is valid until the following call. An ERR packet comes back as a remoteError.
func (p *packetReader) next() (kind, []byte, error) {
	head := p.buf[:4]
	if _, err := io.ReadFull(p.r, head); err != nil {
		return 0, nil, cutOff(err)
	}
	size, err := strconv.ParseUint(string(head), 16, 16)
	switch {
	case err != nil || size == 3 || size > maxPacket:
		return 0, nil, faultf(NotGit, "the answer is not in Git's format (%q instead of a packet's length)", head)
	case size < 3:
		return []kind{flushPacket, delimPacket, endPacket}[size], nil, nil
	}
	data := p.buf[4:size]
	if _, err := io.ReadFull(p.r, data); err != nil {
		return 0, nil, cutOff(err)
	}
	if message, found := bytes.CutPrefix(data, []byte("ERR ")); found {
		return 0, nil, remoteError(printable(message))
	}
	return dataPacket, data, nil
}

// line is next for text: without the line's end.
func (p *packetReader) line() (kind, string, error) {
	k, data, err := p.next()
	return k, string(bytes.TrimSuffix(data, []byte("\n"))), err
}

func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// printable makes foreign text fit for an error: one line, bounded, without invisible characters that could reorder
// it.
func printable(message []byte) string {
	const most = 300
	text := bytes.Map(func(r rune) rune {
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, bytes.TrimSpace(message))
	if len(text) > most {
		text = append(text[:most:most], "…"...)
	}
	return string(bytes.ToValidUTF8(text, []byte("?")))
}

// message builds a request out of pkt-lines.
type message struct{ bytes.Buffer }

func (m *message) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(m, "%04x%s\n", len(text)+5, text)
}

func (m *message) flush() { m.WriteString("0000") }
func (m *message) delim() { m.WriteString("0001") }
