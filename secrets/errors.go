package secrets

import (
	"fmt"
	"strings"
)

// Reason says what kind of trouble an Error is, and so what a person can do about it.
type Reason string

const (
	// NoKey means that the file is encrypted for recipients without an available key.
	NoKey Reason = "NoKey"
	// NotAllowed means that only a remote key could decrypt it that no administrator has listed.
	NotAllowed Reason = "NotAllowed"
	// Unreachable means that a remote key service did not answer, or not with a key. It may pass, and is
	// worth another try.
	Unreachable Reason = "Unreachable"
	// Tampered means that the file is not what was encrypted.
	Tampered Reason = "Tampered"
	// Unauthenticated means that the file has no MAC, so changes cannot be detected.
	Unauthenticated Reason = "Unauthenticated"
	// Exhausting means that decrypting the file takes more memory or processor time than one file may.
	Exhausting Reason = "Exhausting"
	// Unfinished means that the worker did not get to an answer, for a reason that is not the file's. It is worth
	// another try.
	Unfinished Reason = "Unfinished"
	// Malformed means that the file is no SOPS document, though it looks like one.
	Malformed Reason = "Malformed"
)

// Error says why a file is not decrypted. It holds no values of the file and no keys.
type Error struct {
	// File is the path that Decrypt was given.
	File string
	// Document is the number of the YAML document, from 1, in a file that holds several; else 0.
	Document int
	Reason   Reason
	// Detail says more than the reason; it may be empty.
	Detail string
	// Recipients are those that the file is encrypted for: age recipients, fingerprints, names of
	// remote keys.
	Recipients []string
	// Held are the recipients of the available keys.
	Held []string
}

// Error returns what is wrong and how to mend it. It does not begin with the file, which its caller
// knows; nor does it say how keys are given, where there are none.
func (e *Error) Error() string {
	text := e.problem()
	if e.Document > 0 {
		text = fmt.Sprintf("document %d: %s", e.Document, text)
	}
	if hint := e.hint(); hint != "" {
		text += "; " + hint
	}
	return text
}

// Temporary reports whether the same file and keys may decrypt at another time.
func (e *Error) Temporary() bool { return e.Reason == Unreachable || e.Reason == Unfinished }

func (e *Error) problem() string {
	switch e.Reason {
	case NoKey:
		text := "no available key decrypts it: it is encrypted for " + listed(e.Recipients)
		if len(e.Held) > 0 {
			text += ", and the available keys are those of " + listed(e.Held)
		}
		if e.Detail != "" {
			text += "; " + e.Detail
		}
		return text
	case Unauthenticated:
		return "it has no MAC, so changes cannot be detected"
	case NotAllowed:
		return "it needs a remote key that is not allowed here: " + e.Detail
	case Unreachable:
		return "its remote key gave no data key: " + e.Detail
	case Tampered:
		return "it is not what was encrypted: " + e.Detail
	case Exhausting:
		return "the file exhausts " + e.Detail
	case Unfinished:
		return "its decryption did not finish: " + e.Detail
	default:
		return "it is no whole SOPS document: " + e.Detail
	}
}

func (e *Error) hint() string {
	switch e.Reason {
	case NoKey:
		if e.Detail != "" {
			return "add them to the key Secret, or name the key in the entry's decryption.allow if the agent has an identity at its service"
		}
		if len(e.Held) == 0 {
			return ""
		}
		return fmt.Sprintf("add the recipient of an available key to .sops.yaml and run: sops updatekeys %s", shellQuoted(e.File))
	case Unauthenticated, Malformed:
		return fmt.Sprintf("take it from a commit in which it was whole, or encrypt it again: sops encrypt -i %s", shellQuoted(e.File))
	case NotAllowed:
		return "an administrator may list the key, or encrypt it for an age key instead: sops updatekeys " + shellQuoted(e.File)
	case Exhausting:
		return "split the file, or make it smaller"
	case Unfinished:
		return "" // it is tried again, or Detail says what to do
	case Unreachable:
		return "check that the service is up, and that the key Secret's credentials, or else the agent's identity, may decrypt with the key"
	default:
		return fmt.Sprintf("undo the change, and change encrypted files only with: sops edit %s", shellQuoted(e.File))
	}
}

const (
	// maxListed bounds how many recipients a message names, and maxName how long each may be: those of
	// age's post-quantum keys take two thousand letters.
	maxListed = 8
	maxName   = 200
)

func listed(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	var short []string
	for i, name := range names {
		if i == maxListed {
			short = append(short, fmt.Sprintf("%d more", len(names)-i))
			break
		}
		short = append(short, shortened(name))
	}
	return strings.Join(short, ", ")
}

// shortened keeps both ends of a long name, since keys of a kind begin alike.
func shortened(name string) string {
	if len(name) <= maxName {
		return name
	}
	return strings.ToValidUTF8(name[:24], "") + "…" + strings.ToValidUTF8(name[len(name)-12:], "")
}

// shellQuoted makes a path safe to paste after a command.
func shellQuoted(path string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._/-+@:", r)
	}
	if path != "" && path[0] != '-' && strings.IndexFunc(path, func(r rune) bool { return !safe(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

func tampered(detail string) *Error { return &Error{Reason: Tampered, Detail: detail} }

func malformed(format string, args ...any) *Error {
	return &Error{Reason: Malformed, Detail: fmt.Sprintf(format, args...)}
}
