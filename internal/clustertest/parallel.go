package clustertest

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
)

// Parallel runs the tests of a package that wait for a cluster more than they work, n of them at the same time instead of
// one for each processor, and returns the exit code. The flag -parallel has precedence.
func Parallel(m *testing.M, n int) int {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}
