package main

import (
	"errors"

	"k8s.io/apimachinery/pkg/api/resource"
)

// sizeFlag reads a number of bytes as Kubernetes writes them, such as 256Mi.
type sizeFlag struct{ *resource.Quantity }

// Set reads the flag's value.
func (f sizeFlag) Set(text string) error {
	size, err := resource.ParseQuantity(text)
	switch {
	case err != nil:
		return errors.New("write a number of bytes such as 256Mi or 3Gi")
	case size.Value() < 1<<20:
		return errors.New("write at least 1Mi")
	}
	*f.Quantity = size
	return nil
}

// Type names the kind of value in the help.
func (f sizeFlag) Type() string { return "size" }
