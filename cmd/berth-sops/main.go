// Command berth-sops decrypts files for berth, with the SOPS library. It is a separate program because the library
// is risky. It looks for keys in the environment and in the home directory, runs programs, calls any service that a
// file names, and crashes on some files. Berth starts it with an empty environment, limits, and the keys of one
// entry.
package main

import (
	"context"
	"fmt"
	"os"

	"berth.dev/berth/cmd/berth-sops/closed"
	"berth.dev/berth/secrets"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "berth-sops decrypts files for berth, which starts it by itself; it takes no arguments")
		os.Exit(2)
	}
	if err := closed.Open(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(serve(newNetwork(dial())))
}

// serve answers requests until the parent ends.
func serve(n *network) (code int) {
	return secrets.Serve(os.Stdin, os.Stdout, func(g secrets.Grant) (secrets.Engine, error) {
		return newEngine(context.Background(), g, n)
	})
}
