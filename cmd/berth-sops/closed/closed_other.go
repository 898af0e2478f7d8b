//go:build !unix

package closed

// Open allows opening files again. On this system nothing prevented it.
func Open() error { return nil }
