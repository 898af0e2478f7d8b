//go:build !unix

package closed

// Open lets files be opened from here on. Here nothing kept them from it.
func Open() error { return nil }
