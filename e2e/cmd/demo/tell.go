package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A teller prints what happens. It is the Reporter of the world.
type teller struct {
	ctx   context.Context
	out   io.Writer
	bold  bool
	steps int
	began time.Time // when the step began
	// patience is the limit of each wait; zero means that of a local cluster.
	patience time.Duration
}

func newTeller(ctx context.Context, out *os.File) *teller {
	info, err := out.Stat()
	return &teller{ctx: ctx, out: out, bold: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (t *teller) chapter(title string) { fmt.Fprintf(t.out, "\n%s\n", t.emphasised(title)) }

// step begins a step, with the action and the expected result.
func (t *teller) step(title, does, expects string) {
	t.steps++
	t.began = time.Now()
	fmt.Fprintf(t.out, "\n%s\n", t.emphasised(fmt.Sprintf("%d. %s", t.steps, title)))
	t.line("does", does)
	t.line("expects", expects)
}

// shown prints the output of a command.
func (t *teller) shown(command, output string) {
	fmt.Fprintf(t.out, "\n   $ %s\n", command)
	for line := range strings.Lines(output) {
		fmt.Fprintf(t.out, "   %s", line)
	}
}

// saw ends a step with the expected result.
func (t *teller) saw(format string, arguments ...any) {
	took := time.Since(t.began).Seconds()
	t.line("saw", fmt.Sprintf(format, arguments...)+fmt.Sprintf(" (%.1f s)", took))
}

// line prints a labelled text, broken at spaces.
func (t *teller) line(label, text string) {
	const width = 100
	label = fmt.Sprintf("   %-8s ", label)
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			fmt.Fprintf(t.out, "%s%s\n", label, line)
			label, line = strings.Repeat(" ", len(label)), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	fmt.Fprintf(t.out, "%s%s\n", label, line)
}

// command prints a command on one line, so that users can copy it.
func (t *teller) command(label, text string) { fmt.Fprintf(t.out, "   %-8s %s\n", label, text) }

func (t *teller) emphasised(text string) string {
	if !t.bold {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

// failure ends the demo: Fatalf panics with it, and play recovers it.
type failure struct{ reason string }

// Helper does nothing, because a teller reports no source lines.
func (t *teller) Helper() {}

// Context returns a context that ends when the user interrupts the demo.
func (t *teller) Context() context.Context { return t.ctx }

// Patience returns the minimum time that each wait may take.
func (t *teller) Patience() time.Duration { return t.patience }

// Logf prints details for troubleshooting.
func (t *teller) Logf(format string, arguments ...any) { fmt.Fprintf(t.out, format+"\n", arguments...) }

// Fatalf ends the demo.
func (t *teller) Fatalf(format string, arguments ...any) {
	panic(failure{fmt.Sprintf(format, arguments...)})
}
