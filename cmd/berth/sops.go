package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"berth.dev/berth/secrets"
)

// sopsWorker is the program that decrypts.
const sopsWorker = "berth-sops"

func addSOPSWorker(c *cobra.Command, program *string) {
	c.Flags().StringVar(program, "sops-worker", "", "path of "+sopsWorker+", which decrypts SOPS files; by default it is beside berth")
}

// newWorkers returns the workers that decrypt, and reports each decryption to observe, which may be nil. They run the named program, or else the one beside this program.
func newWorkers(program string, observe func(time.Duration, error)) (*secrets.Workers, error) {
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w; name it: --sops-worker FILE", sopsWorker, err)
		}
		if file, err := filepath.EvalSymlinks(self); err == nil {
			self = file // as a plugin of kubectl, berth is a link to a folder with both programs
		}
		program = filepath.Join(filepath.Dir(self), sopsWorker)
		if runtime.GOOS == "windows" {
			program += ".exe"
		}
	}
	program, err := filepath.Abs(program) // it starts in another folder
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", sopsWorker, err)
	}
	return secrets.NewWorkers(secrets.WorkersConfig{
		Command:         []string{program},
		CertificateFile: os.Getenv("SSL_CERT_FILE"), CertificateFolder: os.Getenv("SSL_CERT_DIR"),
		Observe: observe,
	}), nil
}
