package webhook

import (
	"io"
	"mime"
	"net/http"
)

// formType is the content type of a delivery whose JSON is the field "payload" of a form.
const formType = "application/x-www-form-urlencoded"

func isForm(header http.Header) bool {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && media == formType
}

// payload is the name of the field.
const payload = "payload"

// formPayload decodes the field payload of a form that is written to it, piece by piece, and writes it to out. Only
// the first such field counts. Invalid encoding is passed on unchanged, so that no signature fits.
type formPayload struct {
	out   io.Writer
	state formState
	name  []byte // of the current field, as far as it may be payload
	code  []byte // a percent sign and what followed it
}

type formState int

const (
	inName formState = iota
	inPayload
	inOther
	afterPayload
)

// Write decodes the next piece. Its errors are those of out.
func (f *formPayload) Write(piece []byte) (int, error) {
	decoded := make([]byte, 0, len(piece)+2)
	for _, c := range piece {
		switch {
		case f.state == afterPayload:
		case c == '&':
			decoded = f.flush(decoded)
			if f.state == inPayload {
				f.state = afterPayload
			} else {
				f.state, f.name = inName, nil
			}
		case f.state == inName && c == '=':
			f.state = inOther
			if string(f.name) == payload {
				f.state = inPayload
			}
		case f.state == inName:
			f.name = append(f.name, c)
			if len(f.name) > len(payload) {
				f.state = inOther
			}
		case f.state == inPayload:
			decoded = f.decode(decoded, c)
		}
	}
	if _, err := f.out.Write(decoded); err != nil {
		return 0, err
	}
	return len(piece), nil
}

// decode appends the decoded form of one more byte of the value.
func (f *formPayload) decode(to []byte, c byte) []byte {
	switch {
	case len(f.code) > 0:
		f.code = append(f.code, c)
		if len(f.code) < len("%xx") {
			return to
		}
		high, highOK := unhex(f.code[1])
		low, lowOK := unhex(f.code[2])
		if highOK && lowOK {
			f.code = f.code[:0]
			return append(to, high<<4|low)
		}
		return f.flush(to)
	case c == '%':
		f.code = append(f.code, c)
		return to
	case c == '+':
		return append(to, ' ')
	}
	return append(to, c)
}

// flush appends a percent sign that encodes nothing.
func (f *formPayload) flush(to []byte) []byte {
	to = append(to, f.code...)
	f.code = f.code[:0]
	return to
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
