// Package compat holds package secrets against the SOPS library itself. It is a module of its own, so
// that the library and the four clouds' SDKs that it imports are no requirement of the agent.
package compat
