package worker

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// errConnection marks the errors of a closed connection.
var errConnection = errors.New("the other side has ended")

// ErrTooLarge is the error of a message that exceeds the limit and is not sent.
var ErrTooLarge = errors.New("the message is too large")

// Conn carries messages between parent and child. One goroutine may use it at a time.
type Conn struct {
	in  *bufio.Reader
	out io.Writer
	max int
}

func newConn(in io.Reader, out io.Writer, max int) *Conn {
	return &Conn{in: bufio.NewReader(in), out: out, max: max}
}

// Send sends a value as JSON.
func (c *Conn) Send(message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(text) > c.max {
		return fmt.Errorf("%w: %d bytes, and the limit is %d", ErrTooLarge, len(text), c.max)
	}
	frame := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)), uint32(len(text))), text...)
	if _, err := c.out.Write(frame); err != nil {
		return fmt.Errorf("%w: %w", errConnection, err)
	}
	return nil
}

// Receive waits for a message and decodes it.
func (c *Conn) Receive(message any) error {
	var head [4]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return fmt.Errorf("%w: %w", errConnection, err)
	}
	length := binary.BigEndian.Uint32(head[:])
	if int64(length) > int64(c.max) {
		return fmt.Errorf("%w: %d bytes, and the limit is %d", ErrTooLarge, length, c.max)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(c.in, text); err != nil {
		return fmt.Errorf("%w: %w", errConnection, err)
	}
	return json.Unmarshal(text, message)
}
