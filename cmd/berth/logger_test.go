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

// Profiles need no authentication, so other hosts must not reach them.
func TestProfilesAreServedOnLoopbackAlone(t *testing.T) {
	for address, fine := range map[string]bool{
		"0": true, "127.0.0.1:6060": true, "127.9.9.9:6060": true, "[::1]:6060": true, "localhost:6060": true,
		":6060": false, "0.0.0.0:6060": false, "[::]:6060": false, "10.0.0.1:6060": false, "berth.example.com:6060": false, "6060": false, "127.0.0.1": false, "": false,
	} {
		if err := checkProfiles(address); (err == nil) != fine {
			t.Errorf("%q: %v", address, err)
		}
	}
}
