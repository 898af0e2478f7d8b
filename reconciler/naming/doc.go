// Package naming derives names and variables from a branch and an entry: which branches an entry matches, and the
// names of the namespaces, Environments and variables of each.
package naming
