// Package page opens the page of `berth ui` in a real browser, beside a real control plane and agent.
package page

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"berth.dev/berth/e2e/world"
)

// shared is the world of all tests, and binary the path of berth.
var (
	shared *world.World
	binary string
)

// browser is the path of Chromium, and missing why there is none.
var browser, missing = findBrowser()

func findBrowser() (path, missing string) {
	if _, err := os.Stat(filepath.FromSlash(axeFile)); err != nil {
		return "", "there is no axe-core; make browser-packages brings it, and Chromium"
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, ""
		}
	}
	return "", "there is no Chromium; make browser-packages installs it"
}

func TestMain(m *testing.M) {
	flag.Parse()
	if missing != "" {
		os.Exit(m.Run()) // each test says that it is skipped
	}
	os.Exit(world.Suite{Name: "page", Begin: begin}.Run(m))
}

func begin(ctx context.Context, c world.Config) (_ *world.World, err error) {
	binary, c.Flags = c.Binary, []string{"--leader-elect"}
	shared, err = world.New(ctx, c)
	return shared, err
}
