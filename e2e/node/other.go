//go:build !linux

package node

import (
	"context"
	"errors"
)

const missing = "a real node needs Linux"

// Missing says what keeps this machine from running a node.
func Missing() string { return missing }

// Enter fails.
func Enter() (int, error) { return 0, errors.New(missing) }

// Run fails.
func Run(context.Context, Config) error { return errors.New(missing) }

// Import fails.
func Import(context.Context, string, Image) error { return errors.New(missing) }
