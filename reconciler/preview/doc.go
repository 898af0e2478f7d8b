// Package preview turns branches into Environments: names, limits, expiry, teardown.
package preview
