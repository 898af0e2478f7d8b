package clustertest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The API server rotates the file from time to time.
func TestRequestsOfSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	cluster := &Cluster{kubeconfig: filepath.Join(dir, "kubeconfig")}
	if _, err := cluster.Requests(time.Time{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a log: %v", err)
	}
	noon := time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)
	for name, hour := range map[string]int{"audit.jsonl": 2, "audit-2026-03-04T13-30-00.000.jsonl": 1, "audit-2026-03-04T12-30-00.000.jsonl": 0} {
		at := noon.Add(time.Duration(hour) * time.Hour)
		line := fmt.Sprintf(`{"verb":"list","requestURI":"/%d","requestReceivedTimestamp":%q}`+"\n", hour, at.Format(time.RFC3339))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	for since, want := range map[time.Time]string{
		noon:                       "/0 /1 /2 ",
		noon.Add(time.Minute):      "/1 /2 ",
		noon.Add(90 * time.Minute): "/2 ",
		noon.Add(24 * time.Hour):   "",
	} {
		requests, err := cluster.Requests(since)
		got := ""
		for _, r := range requests {
			got += r.URI + " "
		}
		if err != nil || got != want {
			t.Errorf("since %s: %q, %v, want %q", since, got, err, want)
		}
	}
}
