// Package branches decides which Environments a Repository's branches call for: which are written, which are deleted and
// on what evidence, which expire, and which have to wait. It is pure: it reads no cluster, no Git server and no clock.
package branches
