package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Other users can read command lines. An address in one would let them open the page first, with this user's rights.
func TestTheCommandLineOfTheBrowserHasNoKey(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the test replaces xdg-open")
	}
	bin, temporary, asked := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "asked")
	script := "#!/bin/sh\nprintf %s \"$*\" > " + asked + ".part\nmv " + asked + ".part " + asked + "\n"
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("TMPDIR", temporary)
	t.Setenv("DISPLAY", ":7")
	clean := openBrowser(t.Context(), "http://127.0.0.1:7000/?key=secret&q=<b>")
	argument := contentOf(t, asked)
	if strings.Contains(argument, "key") || strings.Contains(argument, "http") {
		t.Errorf("the browser is started with %q", argument)
	}
	text, err := os.ReadFile(argument)
	if want := `url=http://127.0.0.1:7000/?key=secret&amp;q=&lt;b&gt;"`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("the file has %q, %v; want %s", text, err, want)
	}
	for path, want := range map[string]os.FileMode{argument: 0o600, filepath.Dir(argument): os.ModeDir | 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s is %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	clean()
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestWithoutADesktopNoBrowserOpens(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems always have a desktop")
	}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	openBrowser(t.Context(), "http://127.0.0.1:7000/?key=secret")()
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// contentOf returns the text of a file once another program has written it.
func contentOf(t *testing.T, path string) string {
	t.Helper()
	tick, deadline := time.NewTicker(10*time.Millisecond), time.NewTimer(time.Minute)
	defer tick.Stop()
	defer deadline.Stop()
	for {
		if text, err := os.ReadFile(path); err == nil {
			return string(text)
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("nothing wrote " + path)
		}
	}
}
