// Package naming turns a branch and an entry into names and variables: which branches an entry has, and what the
// namespaces, Environments and manifests of each are told.
package naming
