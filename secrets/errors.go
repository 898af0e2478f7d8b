package secrets

import (
	"fmt"
	"strings"
)

// Reason classifies an Error, so that a user knows what to do about it.
type Reason string

const (
	// NoKey means that no available key belongs to any recipient of the file.
	NoKey Reason = "NoKey"
	// NotAllowed means that only a remote key could decrypt the file, and no administrator has listed that key.
	NotAllowed Reason = "NotAllowed"
	// Unreachable means that a remote key service gave no answer, or no key. The problem may pass, so a retry is
	// useful.
	Unreachable Reason = "Unreachable"
	// Tampered means that the file was changed after its encryption.
	Tampered Reason = "Tampered"
	// Unauthenticated means that the file has no MAC, so changes cannot be detected.
	Unauthenticated Reason = "Unauthenticated"
	// Exhausting means that the file needs more memory or processor time than a single file may use.
	Exhausting Reason = "Exhausting"
	// Failing means that the SOPS library crashed on the file. It probably does so again.
	Failing Reason = "Failing"
	// Unfinished means that the worker gave no answer, and that the file is not the cause. A retry is useful.
	Unfinished Reason = "Unfinished"
	// Malformed means that the file looks like a SOPS document but is not a valid one.
	Malformed Reason = "Malformed"
)

// Error explains why a file cannot be decrypted. It holds no values of the file and no keys.
type Error struct {
	// File is the path that was passed to Decrypt.
	File string
	// Document is the number of the YAML document, from 1, in a file with several; otherwise 0.
	Document int
	Reason   Reason
	// Detail adds to the reason; it may be empty.
	Detail string
	// Recipients are the recipients of the file: age recipients, fingerprints, names of remote keys.
	Recipients []string
	// Held are the recipients of the available keys.
	Held []string
}

// Error returns the problem and how to fix it. It does not begin with the file, because the caller knows it. If there
// are no keys, it does not explain how to provide them.
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

// Temporary reports whether a later attempt with the same file and keys may succeed.
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
		return "its remote key did not decrypt its data key: " + e.Detail
	case Tampered:
		return "it was changed after its encryption: " + e.Detail
	case Exhausting:
		return "the file exhausts " + e.Detail
	case Failing:
		return "SOPS failed on it"
	case Unfinished:
		return "its decryption did not finish: " + e.Detail
	default:
		return "it is not a complete SOPS document: " + e.Detail
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
	case Failing:
		return fmt.Sprintf("let a current version of SOPS write it again: sops rotate -i %s", shellQuoted(e.File))
	case Unfinished:
		return "" // a retry follows, or Detail says what to do
	case Unreachable:
		return "check that the service is up, and that the key Secret's credentials, or else the agent's identity, may decrypt with the key"
	default:
		return fmt.Sprintf("undo the change, and change encrypted files only with: sops edit %s", shellQuoted(e.File))
	}
}

const (
	// maxListed bounds the recipients in a message, and maxName the length of each: a post-quantum age recipient has
	// two thousand characters.
	maxListed = 8
	maxName   = 200
)

func listed(names []string) string {
	if len(names) == 0 {
		return "no recipients"
	}
	var short []string
	for i, name := range names {
		if i == maxListed {
			short = append(short, fmt.Sprintf("%d more", len(names)-i))
			break
		}
		short = append(short, Shortened(name))
	}
	return strings.Join(short, ", ")
}

// Shortened keeps both ends of a long name, because names of one kind begin alike.
func Shortened(name string) string {
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
