//go:build !linux

package node

import (
	"context"
	"errors"
)

const missing = "a real node needs Linux"

// Missing returns why this machine cannot run a node.
func Missing() string { return missing }

// Enter always fails.
func Enter() (int, error) { return 0, errors.New(missing) }

// Run always fails.
func Run(context.Context, Config) error { return errors.New(missing) }

// Import always fails.
func Import(context.Context, string, Image) error { return errors.New(missing) }
