package page

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is the longest time that anything on the page may take. A machine may be loaded, and a new agent waits until
// the lease of the last one has ended.
const patience = 2 * time.Minute

// tab is a tab of a browser, with the page of a `berth ui` of its own or with that of an agent.
type tab struct {
	*testing.T
	browser context.Context
	server  *exec.Cmd
	// address is that of the page, without a slash at its end, and key opens it.
	address, key string

	// expected is a part of errors that the browser may report, if it is not empty.
	expected string

	mu       sync.Mutex
	problems []string // that the browser reported, such as a refused script
}

var printed = regexp.MustCompile(`(http://[^/]+)/\?key=(\w+)`)

// opens starts `berth ui` with a kubeconfig, and opens its page.
func opens(t *testing.T, kubeconfig string) *tab {
	t.Helper()
	return opensIn(t, kubeconfig, t.TempDir())
}

// opensIn starts `berth ui` in a folder, such as a clone.
func opensIn(t *testing.T, kubeconfig, dir string) *tab {
	t.Helper()
	p := &tab{T: t, server: exec.Command(binary, "ui", "--no-open", "--kubeconfig", kubeconfig)}
	p.server.Dir = dir
	p.serves()
	t.Cleanup(func() { p.close() })
	p.starts()
	p.goes("/?key=" + p.key)
	return p
}

// serves starts the server, and learns its address.
func (p *tab) serves() {
	p.Helper()
	out, err := p.server.StdoutPipe()
	if err != nil {
		p.Fatal(err)
	}
	if err := p.server.Start(); err != nil {
		p.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	found := printed.FindStringSubmatch(line)
	if err != nil || found == nil {
		p.Fatalf("berth ui prints %q, %v", line, err)
	}
	p.address, p.key = found[1], found[2]
}

// servesAgain ends the server, and starts another one at its address.
func (p *tab) servesAgain() {
	p.Helper()
	p.close()
	args := append(slices.Clone(p.server.Args[1:]), "--address", strings.TrimPrefix(p.address, "http://"))
	p.server = exec.Command(binary, args...)
	p.serves()
}

// visits opens the page of an agent.
func visits(t *testing.T, address string) *tab {
	t.Helper()
	p := &tab{T: t, address: address}
	p.starts()
	return p
}

// starts starts the browser.
func (p *tab) starts() {
	t := p.T
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.WSURLReadTimeout(patience), chromedp.WindowSize(1280, 900), chromedp.Env("FONTCONFIG_FILE="+fonts(t)))
	allocator, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	var close context.CancelFunc
	p.browser, close = chromedp.NewContext(allocator, chromedp.WithListener(p.hear))
	t.Cleanup(close)
	if err := chromedp.Do(p.browser); err != nil { // the tab lives as long as the context of its first command
		t.Fatal(err)
	}
	t.Cleanup(p.isQuiet)
}

func fonts(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.FromSlash("testdata/fonts.conf"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *tab) close() {
	_ = p.server.Process.Signal(syscall.SIGTERM)
	_ = p.server.Wait()
}

// hear collects what the browser complains about.
func (p *tab) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch event := event.(type) {
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, fmt.Sprintf("%+v", event.ExceptionDetails))
	case *cdplog.EventEntryAdded:
		expected := strings.Contains(event.Entry.Text, "net::ERR_") || strings.HasSuffix(event.Entry.URL, "/env/nobody") ||
			p.expected != "" && strings.Contains(event.Entry.Text, p.expected)
		if event.Entry.Level == cdplog.EntryLevelError && !expected {
			p.problems = append(p.problems, event.Entry.Text)
		}
	}
}

// isQuiet fails if the browser complained, such as about a script that the policy refuses.
func (p *tab) isQuiet() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		p.Errorf("the browser reports: %s", problem)
	}
}

func (p *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.browser, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.Fatalf("%s: %v", what, err)
	}
}

// eval returns the value of an expression of the page. If the page leaves meanwhile, the next one is asked.
func eval[T any](p *tab, expression string) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.browser, patience)
	defer cancel()
	for {
		value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
		switch {
		case err == nil:
			return value
		case ctx.Err() != nil || !left.MatchString(err.Error()):
			p.Fatalf("evaluating %s: %v", expression, err)
		}
	}
}

// left matches what the browser says of an expression whose page has left.
var left = regexp.MustCompile("navigated or closed|context was destroyed|Cannot find context")

// goes opens an address, and marks the document, so that a later reload shows.
func (p *tab) goes(path string) {
	p.Helper()
	p.do("opening "+path, chromedp.Navigate(p.address+path))
	eval[bool](p, "window.marked = true")
}

// isSame fails unless the document is still the one that goes opened.
func (p *tab) isSame() {
	p.Helper()
	if !eval[bool](p, "window.marked === true") {
		p.Error("the page was loaded again")
	}
}

// text returns the visible text of the first element that a selector matches.
func (p *tab) text(selector string) string {
	p.Helper()
	return eval[string](p, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// awaits waits until an element has all texts.
func (p *tab) awaits(selector string, texts ...string) {
	p.Helper()
	p.until(selector+" has "+strings.Join(texts, ", "), func() (string, bool) {
		saw := p.text(selector)
		for _, text := range texts {
			if !strings.Contains(saw, text) {
				return saw, false
			}
		}
		return saw, true
	})
}

// awaitsGone waits until no element matches.
func (p *tab) awaitsGone(selector string) {
	p.Helper()
	p.until(selector+" is gone", func() (string, bool) {
		return "it is there", eval[bool](p, fmt.Sprintf("document.querySelector(%q) === null", selector))
	})
}

func (p *tab) until(what string, look func() (saw string, content bool)) {
	p.Helper()
	deadline := time.Now().Add(patience)
	for {
		saw, content := look()
		if content {
			return
		}
		if time.Now().After(deadline) {
			p.Fatalf("waited %s until %s; saw %q", patience, what, saw)
		}
		select {
		case <-p.Context().Done():
			p.Fatal(context.Cause(p.Context()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// clicks clicks the first visible element that a selector matches.
func (p *tab) clicks(selector string) {
	p.Helper()
	p.do("clicking "+selector, chromedp.Click(selector))
}

// chooses chooses an option of a list.
func (p *tab) chooses(selector, value string) {
	p.Helper()
	eval[bool](p, fmt.Sprintf(`(() => {
		const list = document.querySelector(%q);
		list.value = %q;
		return list.dispatchEvent(new Event("change", {bubbles: true}));
	})()`, selector, value))
}

// presses presses keys, wherever the focus is.
func (p *tab) presses(keys string) {
	p.Helper()
	p.do("pressing "+keys, chromedp.KeyEvent(keys))
}
