package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A teller tells people what happens. It is the reporter of what the world does.
type teller struct {
	ctx   context.Context
	out   io.Writer
	bold  bool
	steps int
	began time.Time // the step
	// patience is how long each wait may take; zero: as long as on a local cluster.
	patience time.Duration
}

func newTeller(ctx context.Context, out *os.File) *teller {
	info, err := out.Stat()
	return &teller{ctx: ctx, out: out, bold: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (t *teller) chapter(title string) { fmt.Fprintf(t.out, "\n%s\n", t.emphasised(title)) }

// step begins a step: what is done, and what is expected of it.
func (t *teller) step(title, does, expects string) {
	t.steps++
	t.began = time.Now()
	fmt.Fprintf(t.out, "\n%s\n", t.emphasised(fmt.Sprintf("%d. %s", t.steps, title)))
	t.line("does", does)
	t.line("expects", expects)
}

// shown prints what a command printed.
func (t *teller) shown(command, output string) {
	fmt.Fprintf(t.out, "\n   $ %s\n", command)
	for line := range strings.Lines(output) {
		fmt.Fprintf(t.out, "   %s", line)
	}
}

// saw ends a step that went as expected.
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

// command prints a command that people can copy, in one line.
func (t *teller) command(label, text string) { fmt.Fprintf(t.out, "   %-8s %s\n", label, text) }

func (t *teller) emphasised(text string) string {
	if !t.bold {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

// failure is what ends the play: it is thrown by Fatalf and caught by play.
type failure struct{ reason string }

// Helper does nothing: there are no lines of code to tell of.
func (t *teller) Helper() {}

// Context is done when somebody interrupts the demo.
func (t *teller) Context() context.Context { return t.ctx }

// Patience returns how long each wait may take at least.
func (t *teller) Patience() time.Duration { return t.patience }

// Logf prints what helps to find out what went wrong.
func (t *teller) Logf(format string, arguments ...any) { fmt.Fprintf(t.out, format+"\n", arguments...) }

// Fatalf ends the play.
func (t *teller) Fatalf(format string, arguments ...any) {
	panic(failure{fmt.Sprintf(format, arguments...)})
}
