// Package source turns a Git reference into an immutable tree of files, without a work tree.
//
// A [Repository] is one bare, shallow store. [Repository.List] asks the server in one small request for the commits
// of all branches. [Repository.Fetch] fetches those that changed, and [Repository.Snapshot] returns the files of one
// commit as an [io/fs.FS]. This package implements the wire protocol over pkt-lines: version 2 and, for servers that
// do not speak it, version 0. go-git reads the packs.
package source

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Revision names one commit of one branch.
type Revision struct {
	Branch string // without refs/heads/
	Commit string // the full object id
}

// Listing is the result of a complete, authenticated listing of a repository's branches. A listing that was cut off
// or refused is an error and never a shorter Listing.
type Listing struct {
	Default  string            // the branch that HEAD points to; "" if HEAD is detached or its branch does not exist
	Heads    map[string]string // branch to commit: the selected ones, and the default branch
	Branches int               // number of branches, selected or not; never 0
	Others   []string          // commits of some of the other branches: a bounded sample
}

// Limits bound the cost of a repository. A zero value stands for its default.
type Limits struct {
	Branches     int           // of a repository that is listed; 100,000
	ListingBytes int64         // of one list of references, as sent by the server and unpacked; 64 MiB
	FetchBytes   int64         // of one fetch, as sent by the server; 1 GiB
	FileBytes    int64         // of one file that is read; 10 MiB
	Files        int           // below a folder that is listed, at any depth; 10,000
	FetchTimeout time.Duration // of one fetch from the first byte to the last; 5 minutes. A listing gets at most 30 s of it.
}

func (l Limits) withDefaults() Limits {
	if l.Branches <= 0 {
		l.Branches = 100_000
	}
	if l.ListingBytes <= 0 {
		l.ListingBytes = 64 << 20
	}
	if l.FetchBytes <= 0 {
		l.FetchBytes = 1 << 30
	}
	if l.FileBytes <= 0 {
		l.FileBytes = 10 << 20
	}
	if l.Files <= 0 {
		l.Files = 10_000
	}
	if l.FetchTimeout <= 0 {
		l.FetchTimeout = 5 * time.Minute
	}
	return l
}

// objectBytes bounds a single object of a pack, because reading one takes its size in memory. It leaves room for
// large files that are in the repository but never read: as large as GitHub accepts.
func (l Limits) objectBytes() int64 { return max(l.FileBytes, 100<<20) }

// deltaBytes bounds an object that is made from another one, which takes both in memory at once.
func (l Limits) deltaBytes() int64 { return max(l.FileBytes, 32<<20) }

// listTimeout bounds a listing: it is small, and the next poll comes soon.
func (l Limits) listTimeout() time.Duration { return min(l.FetchTimeout, 30*time.Second) }

// LocalAccess reports whether a URL may name a folder of the machine that Berth runs on.
type LocalAccess int

const (
	DenyLocal  LocalAccess = iota // file:// is refused
	AllowLocal                    // file:// is served by the git program of this machine
)

// Config says which repository to follow and how.
type Config struct {
	Dir         string      // the store's folder; created if absent, replaced if corrupt; no other process may write there
	URL         string      // https://, http://, ssh://, or file:// with AllowLocal; without user names or passwords (but ssh://git@)
	Credentials Credentials // none by default
	Limits      Limits      // zero values are defaults
	Local       LocalAccess // DenyLocal by default

	// Proxy chooses the proxy of an HTTP request, as in [http.Transport]; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Budget is the memory that several repositories share for unpacking; nil means any amount.
	Budget *Budget
	// Room is called often, before more bytes are written to the store. It refuses them with an *Error with the
	// reason Full; nil means that there is always room.
	Room func(ctx context.Context, bytes int64) error
	// Now is the clock; nil means the real one.
	Now func() time.Time
}
