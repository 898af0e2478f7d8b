package secrets

import (
	"errors"
	"io"
	"time"

	"berth.dev/berth/internal/worker"
)

// RemoteTimeout bounds each request to a remote service.
const RemoteTimeout = 10 * time.Second

// Sealed is a file, or the documents of a YAML file that were encrypted together.
type Sealed struct {
	Format  Format
	Content []byte
}

// Unsealed is a worker's result for a Sealed.
type Unsealed struct {
	// Documents has an item for each YAML document, and one item in the other formats.
	Documents []Document
	Values    map[string]Value
}

// Document is a document in plain text, and with placeholders (see Plain).
type Document struct{ Content, Veiled []byte }

// Engine decrypts. It returns *Error values. The texts of other errors are dropped, because they may quote the file.
type Engine interface {
	Unseal(Sealed) (Unsealed, error)
}

// Grant is everything that a worker holds.
type Grant struct {
	Keys   *Keys
	Remote Remote
	// Identity may be nil.
	Identity *Identity
}

// Serve runs a worker: it answers the requests of Workers, with an engine that it creates once. It returns the exit
// code.
func Serve(in io.Reader, out io.Writer, start func(Grant) (Engine, error)) (code int) {
	var engine Engine
	return worker.Serve(in, out, func(c *worker.Conn) error {
		var r request
		if err := c.Receive(&r); err != nil {
			return err
		}
		if r.Protocol != protocol {
			return c.Send(failed(Unfinished, otherVersion))
		}
		if engine == nil {
			var err error
			if engine, err = startEngine(r.Grant, start); err != nil {
				return err
			}
		}
		err := c.Send(answered(engine, r.Sealed))
		if errors.Is(err, worker.ErrTooLarge) {
			err = c.Send(failed(Exhausting, "the limit for one request"))
		}
		return err
	})
}

func startEngine(g *grant, start func(Grant) (Engine, error)) (Engine, error) {
	if g == nil {
		return nil, errors.New("the first request brings no keys")
	}
	keys := &Keys{}
	if len(g.Keys) > 0 {
		var err error
		if keys, err = ParseKeys(g.Keys); err != nil {
			return nil, err
		}
	}
	return start(Grant{Keys: keys, Remote: g.Remote, Identity: g.Identity})
}

// answered turns every failure into an answer, panics of the library included.
func answered(engine Engine, s Sealed) (a answer) {
	defer func() {
		if recover() != nil { // the panic value may quote the file
			a = failed(Failing, "")
		}
	}()
	unsealed, err := engine.Unseal(s)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = malformed("SOPS cannot read it")
		}
		return failed(e.Reason, e.Detail)
	}
	a = answer{Answers: protocol, Documents: unsealed.Documents, Values: make(map[string]wireValue, len(unsealed.Values))}
	for placeholder, value := range unsealed.Values {
		a.Values[placeholder] = wireValue{[]byte(value.Text), value.Tag}
	}
	return a
}

// protocol changes with the messages, because the worker is a separate program and may have another version.
const (
	protocol     = 1
	otherVersion = "berth-sops and berth have different versions; install both from one release"
)

// request is a request to a worker. The first one brings the Grant.
type request struct {
	Protocol int
	Grant    *grant `json:",omitempty"`
	Sealed   Sealed
}

type grant struct {
	Keys     map[string][]byte
	Remote   Remote
	Identity *Identity
	// scope is equal for equal grants; isLocal is true if nothing outside of the worker is needed.
	scope   string
	isLocal bool
}

type answer struct {
	// Answers is the protocol. Requests have no such field, so a program that sends them back is not mistaken for a worker.
	Answers   int
	Documents []Document
	Values    map[string]wireValue
	Failure   *failure `json:",omitempty"`
}

// wireValue is a Value whose text need not be UTF-8.
type wireValue struct {
	Text []byte
	Tag  string
}

// failure is an Error without the facts that only the parent knows.
type failure struct {
	Reason Reason
	Detail string
}

func failed(reason Reason, detail string) answer {
	return answer{Answers: protocol, Failure: &failure{reason, detail}}
}

func (a answer) unsealed() (Unsealed, error) {
	if a.Answers != protocol {
		return Unsealed{}, &Error{Reason: Unfinished, Detail: otherVersion}
	}
	if a.Failure != nil {
		return Unsealed{}, &Error{Reason: a.Failure.Reason, Detail: a.Failure.Detail}
	}
	u := Unsealed{Documents: a.Documents, Values: make(map[string]Value, len(a.Values))}
	for placeholder, value := range a.Values {
		u.Values[placeholder] = Value{string(value.Text), value.Tag}
	}
	return u, nil
}
