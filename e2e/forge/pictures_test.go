package forge_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"berth.dev/berth/e2e/picture"
)

var picturesDir = flag.String("pictures", "", "folder for pictures of the notes, in addition to -notes; Gitea needs its compiled styles for them")

// camera takes pictures of notes as Gitea shows them.
type camera struct {
	*testing.T
	browser context.Context
}

// camera starts a browser; without -pictures there is none.
func newCamera(t *testing.T) *camera {
	t.Helper()
	if *picturesDir == "" {
		return nil
	}
	if err := os.MkdirAll(*picturesDir, 0o755); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("no browser: %v; see make browser-packages", err)
	}
	allocator, end := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1100, 1400))...)
	t.Cleanup(end)
	browser, closes := chromedp.NewContext(allocator)
	t.Cleanup(closes)
	if err := chromedp.Do(browser); err != nil { // the tab lives as long as the context of its first command
		t.Fatal(err)
	}
	return &camera{t, browser}
}

// ready unfolds the logs, shows the registry under a name as the recorded notes do, and counts the styles.
const ready = `document.querySelectorAll("details").forEach(d => d.open = true);
document.querySelectorAll("code").forEach(c => c.textContent = c.textContent.replaceAll("REGISTRY", "registry.example.com"));
document.styleSheets.length`

// takes writes a picture of a note, whose logs it unfolds.
func (c *camera) takes(name, address string, note int64) {
	if c == nil {
		return
	}
	c.Helper()
	ctx, cancel := context.WithTimeout(c.browser, time.Minute)
	defer cancel()
	at := fmt.Sprintf("#issuecomment-%d .content", note)
	err := chromedp.Do(ctx, chromedp.Navigate(address), chromedp.WaitVisible(at))
	if err == nil {
		var sheets int
		if sheets, err = chromedp.Run(ctx, chromedp.Evaluate[int](strings.ReplaceAll(ready, "REGISTRY", images))); sheets == 0 {
			c.Fatalf("Gitea has no styles (%v): GITEA_ASSETS needs the compiled public folder, or build Gitea with bindata", err)
		}
	}
	var shot []byte
	if err == nil {
		shot, err = chromedp.Run(ctx, chromedp.Screenshot(at))
	}
	if err == nil {
		shot, err = picture.Smaller(shot)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*picturesDir, name+".png"), shot, 0o644)
	}
	if err != nil {
		c.Fatalf("making the picture %s: %v", name, err)
	}
}
