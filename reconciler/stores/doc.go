// Package stores holds the Git stores of all Repositories: it opens, renews and removes them, and bounds their total size.
package stores
