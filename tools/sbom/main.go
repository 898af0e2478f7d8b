// Sbom prints the CycloneDX bill of materials of a Go program: go run -C tools ./sbom FILE VERSION.
package main

import (
	"fmt"
	"os"

	"berth.dev/berth/tools/cyclonedx"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom FILE VERSION")
		os.Exit(2)
	}
	file, err := os.Stat(os.Args[1])
	var bom *cyclonedx.BOM
	if err == nil {
		bom, err = cyclonedx.Of(os.Args[1], os.Args[2], file.ModTime())
	}
	if err == nil {
		err = bom.Write(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}
