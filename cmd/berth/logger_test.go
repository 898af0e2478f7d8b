package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// A number without a unit means nothing to the readers of a log.
func TestDurationsHaveAUnitInBothFormats(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log, err := newLogger(streams{err: &out}, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("passed", "took", 1500*time.Millisecond)
		if !strings.Contains(out.String(), "1.5s") {
			t.Errorf("as %s: %s", format, &out)
		}
	}
}
