package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Berth judges the output of kubectl as the agent judges the objects: every fixture of health, read from a file.
func TestHealthJudgesEveryFixtureAsTheAgentDoes(t *testing.T) {
	fixtures, err := filepath.Glob("../../health/testdata/*.yaml")
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("no fixtures (%v)", err)
	}
	for _, fixture := range fixtures {
		t.Run(strings.TrimSuffix(filepath.Base(fixture), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(fixture)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
			status, message, _ := strings.Cut(first, ": ")
			var out bytes.Buffer
			code := run(t.Context(), []string{"health", "-f", fixture}, streams{in: strings.NewReader(""), out: &out, err: &out})
			if got := strings.Fields(out.String()); got[0] != status || !strings.Contains(out.String(), message) {
				t.Errorf("got %s\nwant %s", &out, first)
			}
			if healthy := status == "Healthy"; healthy != (code == 0) {
				t.Errorf("%s ends with %d", status, code)
			}
		})
	}
}
