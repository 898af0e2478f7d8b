package source

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"time"
)

// fileInfo describes an entry, as a DirEntry and as a FileInfo. Its size is read only when it is asked for.
type fileInfo struct {
	snapshot *Snapshot
	entry    entry
	name     string
	size     int64
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) IsDir() bool        { return i.entry.isDir() }
func (i *fileInfo) Type() fs.FileMode  { return i.entry.mode.Type() }
func (i *fileInfo) Mode() fs.FileMode  { return i.entry.mode }
func (i *fileInfo) ModTime() time.Time { return i.snapshot.object.time }
func (i *fileInfo) Size() int64        { return i.size }
func (i *fileInfo) Sys() any           { return nil }
func (i *fileInfo) String() string     { return fs.FormatDirEntry(i) }

func (i *fileInfo) Info() (fs.FileInfo, error) {
	info := *i
	return &info, info.measure()
}

func (i *fileInfo) measure() error {
	if i.entry.isDir() || i.entry.isSubmodule() {
		return nil
	}
	err := i.snapshot.repository.reading(i.snapshot.commit, func(st *store) (err error) {
		i.size, err = st.size(i.entry.id)
		return err
	})
	if err != nil {
		return i.snapshot.wrong("stat", i.name, err)
	}
	return nil
}

// openFile is a file that was read whole.
type openFile struct {
	info *fileInfo
	*bytes.Reader
}

func (f *openFile) Close() error { return nil }

func (f *openFile) Stat() (fs.FileInfo, error) {
	info := *f.info
	info.size = f.Reader.Size()
	return &info, nil
}

// openDir is a folder that is being listed.
type openDir struct {
	info   *fileInfo
	path   string
	listed bool
	rest   []fs.DirEntry
}

func (d *openDir) Close() error               { return nil }
func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errors.New("is a folder")}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.listed {
		rest, err := d.info.snapshot.list(node{entry: d.info.entry}, d.path)
		if err != nil {
			return nil, err
		}
		d.rest, d.listed = rest, true
	}
	if n <= 0 || n > len(d.rest) {
		if n > 0 && len(d.rest) == 0 {
			return nil, io.EOF
		}
		n = len(d.rest)
	}
	list := d.rest[:n:n]
	d.rest = d.rest[n:]
	return list, nil
}
