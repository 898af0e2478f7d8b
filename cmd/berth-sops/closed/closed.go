// Package closed keeps libraries from opening files before main begins. That of SOPS reads /etc/sops/audit.yaml then, and
// connects to the database that stands there.
//
// It has an init function because nothing else runs early enough. Go initializes a package as soon as its imports are,
// the one with the first import path first (https://go.dev/ref/spec#Program_initialization). This package imports
// syscall and time alone, and its path begins with a "b", so it comes before all of github.com.
package closed
