package main

import (
	"context"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// openBrowser opens an address with the desktop's command, if there is a desktop, and returns a function that cleans up.
// Other users can read command lines, and the address gives access. The browser therefore opens a file that only this
// user can read, and the file leads to the address. An error opens nothing: the address was printed as well.
func openBrowser(ctx context.Context, address string) (clean func()) {
	command := desktopCommand()
	if command == nil {
		return func() {}
	}
	folder, err := os.MkdirTemp("", "berth-ui-") // only this user can enter it
	if err != nil {
		return func() {}
	}
	clean = func() { _ = os.RemoveAll(folder) } // the address in it works once
	file := filepath.Join(folder, "open.html")
	if os.WriteFile(file, []byte(leadingTo(address)), 0o600) != nil {
		return clean
	}
	if c := exec.CommandContext(ctx, command[0], append(command[1:], file)...); c.Start() == nil {
		go func() { _ = c.Wait() }()
	}
	return clean
}

// desktopCommand returns the command that opens a file, or nothing without a desktop.
func desktopCommand() []string {
	switch {
	case runtime.GOOS == "darwin":
		return []string{"open"}
	case runtime.GOOS == "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler"}
	case os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "":
		return nil
	}
	return []string{"xdg-open"}
}

// leadingTo returns a web page that opens an address.
func leadingTo(address string) string {
	address = html.EscapeString(address)
	return fmt.Sprintf(`<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url=%s">
<title>Berth</title>
<p><a href="%s">Open the page of berth ui</a></p>
`, address, address)
}
