// Command gitserver serves Git repositories over smart HTTP on the loopback
// address: anyone may clone and push.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"berth.dev/berth/internal/gittest"
)

const usage = `Usage:
  gitserver --dir DIR [--address HOST:PORT] REPOSITORY...

Serves the repositories of a directory until it is interrupted, prints the
address of each that is named, and creates those that are not there yet.
`

func main() {
	dir := flag.String("dir", "", "")
	address := flag.String("address", "", "")
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	flag.Parse()
	if *dir == "" {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *address, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, address string, repositories []string) error {
	// Git's own server accepts absolute paths only.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	server := gittest.Serve(exit{}, gittest.Config{Dir: dir, Address: address})
	defer server.Close()
	for _, name := range repositories {
		fmt.Println(server.Repository(name).URL())
	}
	<-ctx.Done()
	return nil
}

// exit ends the program at the first failure.
type exit struct{}

func (exit) Helper() {}

func (exit) Fatalf(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}
