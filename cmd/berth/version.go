package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// The linker sets them for a release.
var (
	version = "dev"
	// commit is the full commit id, and date that commit's time.
	commit, date string
)

func newVersion(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			fmt.Fprintf(s.out, "berth %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			if commit != "" {
				fmt.Fprintf(s.out, "commit %s of %s\n", commit, date)
			}
		},
	}
}
