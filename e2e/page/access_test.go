package page

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// axeFile is axe-core, which make browser-packages brings, and axeSum what that version of it hashes to.
const (
	axeFile = "../../.build/axe.min.js"
	axeSum  = "e63e659f9806d7ae5bd40899043b0871a5062c5442b01b3f1a3edf5eaf50bf5c3a7104a72463293b4ad1b77c661a0d4e40e850dec89de9d6ece70a8c13a9af17"
)

// screens are the paths of all screens of an environment.
func screens(environment string) map[string]string {
	at := "/env/" + environment
	return map[string]string{"branches": "/", "environment": at, "diff": at + "/diff", "logs": at + "/logs", "history": at + "/history", "proposal": at + "/do/suspend", "problem": "/env/nobody"}
}

// emulates sets the colour scheme that a user prefers: light or dark.
func (p *tab) emulates(scheme string) {
	p.Helper()
	p.do("emulating "+scheme, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

// size is that of a window.
type size struct {
	width, height int64
	scale         float64
	isMobile      bool
}

var (
	desktop = size{width: 1280, height: 790, scale: 1}
	phone   = size{width: 390, height: 844, scale: 2, isMobile: true}
)

// resizes sets the size of the window.
func (p *tab) resizes(s size) {
	p.Helper()
	p.do("resizing", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: s.width, Height: s.height, DeviceScaleFactor: s.scale, Mobile: s.isMobile})
		return err
	}))
}

// violation is a rule of axe that a page breaks.
type violation struct {
	ID, Help string
	Nodes    []struct{ HTML, FailureSummary string }
}

// hostile is what a commit or a log may say: markup, a change of the direction, and a word that no line has room for.
var hostile = "<img src=x onerror=alert(1)> \u202eevil\u202c " + strings.Repeat("W", 400)

func TestEveryScreenIsAccessible(t *testing.T) {
	team := begins(t, "axe")
	branch := "fix/" + strings.Repeat("long", 40)
	broken := team.branches(branch, hostile, map[string]string{"k8s/api.yaml": deployment("api", logs(hostile)+", kwok.berth.dev/exit-code: \"3\"}, labels: {app: NAME, kwok.berth.dev/behaviour: crash-loop}")})
	env := team.Environment(branch).Becomes("Failed", broken)
	p := opensIn(t, shared.Cluster.Kubeconfig(), team.clone(t))
	for _, size := range []size{desktop, phone} {
		p.resizes(size)
		for _, scheme := range []string{"light", "dark"} {
			p.emulates(scheme)
			for name, path := range screens(env.Name) {
				p.goes(path)
				what := fmt.Sprintf("%s, %s, %d pixels wide", name, scheme, size.width)
				p.isAccessible(what)
				if wide := eval[int](p, "document.documentElement.scrollWidth"); int64(wide) > size.width {
					t.Errorf("%s: one has to scroll sideways, over %d pixels", what, wide)
				}
			}
		}
	}
}

// isAccessible fails if what the browser shows breaks a rule of axe.
func (p *tab) isAccessible(name string) {
	p.Helper()
	axe, err := os.ReadFile(filepath.FromSlash(axeFile))
	if err != nil {
		p.Fatal(err)
	}
	if sum := sha512.Sum512(axe); hex.EncodeToString(sum[:]) != axeSum {
		p.Fatalf("%s is not the published axe-core 4.14.1; make browser-packages brings it", axeFile)
	}
	eval[bool](p, string(axe)+"; true")
	for _, v := range p.violations() {
		p.Errorf("%s: %s (%s)\n%s", name, v.Help, v.ID, v.where())
	}
}

func (p *tab) violations() (found []violation) {
	p.Helper()
	const run = `axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((r) => JSON.stringify(r.violations))`
	if err := json.Unmarshal([]byte(p.awaited(run)), &found); err != nil {
		p.Fatalf("running axe: %v", err)
	}
	return found
}

func (v violation) where() string {
	var lines []string
	for _, n := range v.Nodes {
		lines = append(lines, fmt.Sprintf("  %s\n    %s", n.HTML, strings.ReplaceAll(n.FailureSummary, "\n", "\n    ")))
	}
	return strings.Join(lines, "\n")
}

func TestTheScreensAreReadableWithoutScripts(t *testing.T) {
	begins(t, "plain")
	p := opens(t, shared.Cluster.Kubeconfig())
	p.do("disabling scripts", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	for path, texts := range map[string][]string{
		"/":                                  {"Production", "main", "Healthy", "Begin with an API"},
		"/env/plain.production.main":         {"Wave -1", "Deployment", "api", "Healthy", "plain.example.com"},
		"/env/plain.production.main/history": {"Syncs", "runs now", "Events"},
	} {
		p.do("opening "+path, chromedp.Navigate(p.address+path))
		p.awaits("main", texts...)
	}
	p.do("opening /", chromedp.Navigate(p.address+"/"))
	p.clicks(`button[name="show"][value="failing"]`)
	p.awaits("#none", "No branch matches the filter")
}
