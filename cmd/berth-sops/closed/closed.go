// Package closed keeps libraries from opening files before main begins. The SOPS library would read
// /etc/sops/audit.yaml then, and connect to the database named there.
//
// It has an init function because nothing else runs early enough. Go initializes a package as soon as its imports
// are initialized, in the order of import paths (https://go.dev/ref/spec#Program_initialization). This package
// imports only syscall and time, and its path begins with a "b", so it precedes all of github.com.
package closed
