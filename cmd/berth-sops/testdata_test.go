package main

import (
	"os"
	"path/filepath"
	"testing"
)

// testdataDir holds the files of package secrets' tests.
const testdataDir = "../../secrets/testdata"

func testdata(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(testdataDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
