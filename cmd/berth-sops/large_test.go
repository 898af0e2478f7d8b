package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/keys"

	"berth.dev/berth/secrets"
)

// The largest files that the guard accepts are within the limits of a worker.
func TestTheLargestFilesAreDecrypted(t *testing.T) {
	recipient, private := newAge(t)
	for _, test := range []struct {
		name, format, file, plain string
	}{
		{"many values", "yaml", "a.yaml", manyValues(9_500, 20)},
		{"few long values", "yaml", "a.yaml", manyValues(3, 1<<20)},
		{"many values of JSON", "json", "a.json", "{\"a\": [" + strings.Repeat(`"x", `, 9_500) + "1]}"},
		{"one binary file", "binary", "a.bin", strings.Repeat("\x00\xff", 1<<20)},
	} {
		f := seal(t, test.format, test.plain, sops.Metadata{}, []keys.MasterKey{recipient})
		w := secrets.NewWorkers(secrets.WorkersConfig{Command: []string{os.Args[0], "serve"}})
		d := secrets.New(secrets.Config{Keys: keysOf(t, map[string]string{"a.agekey": private}), Workers: w})
		got, err := d.Decrypt(t.Context(), test.file, f.encrypted)
		if err != nil || len(got) == 0 {
			t.Errorf("%s, %d bytes: %v", test.name, len(f.encrypted), err)
		}
		w.Close()
	}
}

func manyValues(n, size int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "k%d: %s\n", i, strings.Repeat("x", size))
	}
	return text.String()
}
