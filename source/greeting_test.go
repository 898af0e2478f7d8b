package source

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// packets writes lines as pkt-lines; "0000" and "0001" stand for themselves.
func packets(lines ...string) string {
	var m message
	for _, line := range lines {
		switch line {
		case "0000":
			m.flush()
		case "0001":
			m.delim()
		default:
			m.line("%s", line)
		}
	}
	return m.String()
}

// everything keeps all branches.
var everything = query{keep: func(string) bool { return true }}

func TestReadGreeting(t *testing.T) {
	id := strings.Repeat("a", 40)
	version2 := []string{"version 2", "agent=git/2.39.5", "ls-refs=unborn", "fetch=shallow wait-for-done", "object-format=sha1", "0000"}
	tests := []struct {
		name    string
		input   string
		version int
		heads   int
		reason  Reason // "" if it can be read
	}{
		{"version 2", packets(version2...), 2, 0, ""},
		{"version 2 over HTTP", packets(append([]string{"# service=git-upload-pack", "0000"}, version2...)...), 2, 0, ""},
		{"version 1", packets("version 1", id+" HEAD\x00side-band-64k symref=HEAD:refs/heads/main", id+" refs/heads/main", "0000"), 0, 1, ""},
		{"version 0 over HTTP", packets("# service=git-upload-pack", "0000", id+" refs/heads/main\x00shallow", id+" refs/tags/v1", id+" refs/tags/v1^{}", "0000"), 0, 1, ""},
		{"shallow at the server", packets(id+" refs/heads/main\x00shallow", "shallow "+id, "0000"), 0, 1, ""},
		{"empty, version 0", packets(strings.Repeat("0", 40)+" capabilities^{}\x00shallow", "0000"), 0, 0, ""},
		{"empty, very old", packets("# service=git-upload-pack", "0000", "0000"), 0, 0, ""},
		{"no fetch", packets("version 2", "ls-refs", "0000"), 0, 0, NotGit},
		{"SHA-256", packets("version 2", "ls-refs", "fetch", "object-format=sha256", "0000"), 0, 0, Unsupported},
		{"abbreviated id", packets(id[:39]+" refs/heads/main\x00shallow", "0000"), 0, 0, NotGit},
		{"no flush", packets("version 2", "ls-refs", "fetch"), 0, 0, Unreachable},
		{"nothing", "", 0, 0, Unreachable},
		{"not packets", "<html>", 0, 0, NotGit},
		{"an impossible length", "0003", 0, 0, NotGit},
		{"an error", "000eERR broken", 0, 0, Unreachable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, err := readGreeting(strings.NewReader(test.input), everything)
			if test.reason != "" {
				wantReason(t, classify("greet", Credentials{}, err), test.reason)
				return
			}
			must(t, err)
			if g.version != test.version || len(g.listing.Heads) != test.heads {
				t.Errorf("version %d, %v", g.version, g.listing)
			}
		})
	}
}

func TestPackStream(t *testing.T) {
	band := func(n byte, text string) string { return string(rune(n)) + text }
	v2, v0 := &greeting{version: 2}, &greeting{}
	tests := []struct {
		name     string
		greeting *greeting
		answer   string
		want     string
		reason   Reason
	}{
		{"version 2", v2, packets("shallow-info", "shallow abc", "0001", "packfile", band(2, "counting"), band(1, "PA"), band(1, "CK"), "0000"), "PA\nCK\n", ""},
		{"version 0", v0, packets("shallow abc", "0000", "NAK", band(2, "counting"), band(1, "PACK"), "0000"), "PACK\n", ""},
		{"acknowledged", v0, packets("shallow abc", "unshallow def", "0000", "ACK abc common", "ACK abc ready", "NAK", "ACK abc", band(1, "PACK"), "0000"), "PACK\n", ""},
		{"cut off", v2, packets("packfile", band(1, "PACK")), "PACK\n", Unreachable},
		{"failing", v2, packets("packfile", band(1, "PA"), band(3, "out of memory")), "PA\n", Unreachable},
		{"refused", v2, packets("ERR upload-pack: not our ref abc"), "", Refused},
		{"garbage", v0, packets("0000", "hello"), "", NotGit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []byte
			stream, err := newPackStream(test.greeting, strings.NewReader(test.answer))
			if err == nil {
				got, err = io.ReadAll(stream)
			}
			if string(got) != test.want {
				t.Errorf("read %q, want %q", got, test.want)
			}
			if reason := ReasonOf(classify("read", Credentials{}, err)); reason != test.reason {
				t.Errorf("%v, reason %q, want %q", err, reason, test.reason)
			}
		})
	}
}

func TestForeignMessages(t *testing.T) {
	for text, want := range map[string]Reason{
		"upload-pack: not our ref 1a2b":                              Refused,
		"Server does not allow request for unadvertised object 1a2b": Refused,
		"Repository not found.":                                      NotFound,
		"The project you were looking for could not be found or you don't have permission to view it.": NotFound,
		"fatal: '/srv/x' does not appear to be a git repository":                                       NotFound,
		"access denied or repository not exported: /x":                                                 Unauthorized,
		"Permission to acme/posts.git denied to deploy-key":                                            Unauthorized,
		"pack-objects died of signal 9":                                                                Unreachable,
	} {
		if got, _ := remoteError(text).meaning(); got != want {
			t.Errorf("%q means %s, want %s", text, got, want)
		}
	}
	if text := printable([]byte("a\nb\x1b[31m" + strings.Repeat("x", 500) + "\xff")); strings.ContainsAny(text, "\n\x1b") || len(text) > 310 {
		t.Errorf("%q", text)
	}
}

func FuzzProtocol(f *testing.F) {
	f.Add(packets("version 2", "ls-refs", "fetch", "0000"))
	f.Add(packets("packfile", "\x01PACK", "0000"))
	f.Add(packets(strings.Repeat("a", 40)+" refs/heads/main\x00shallow", "0000"))
	f.Fuzz(func(t *testing.T, input string) {
		_, _ = readGreeting(strings.NewReader(input), everything)
		if listing, err := readListing(strings.NewReader(input), everything); err == nil && !strings.Contains(input, "0000") {
			t.Fatalf("%v without a flush", listing)
		}
		stream, err := newPackStream(&greeting{version: 2}, strings.NewReader(input))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, stream); errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	})
}
