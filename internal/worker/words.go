package worker

import (
	"bytes"
	"regexp"
)

// lastWords reads the standard error of a child. It keeps only how the Go runtime ended the child, and drops the text,
// because a panic may quote the input.
type lastWords struct {
	// line is the beginning of the current line.
	line []byte
	// panicked is true if the code of the child ended it, and failed if the runtime itself did.
	panicked, failed bool
}

// maxWords bounds how much of a line is kept.
const maxWords = 256

// A library may have begun the line. Without memory, the runtime ends with an error of its own or with a segmentation
// violation, because parts of it do not expect that an allocation fails.
var (
	wordsOfPanic   = regexp.MustCompile(`panic: |fatal error: (?:concurrent map|sync: |all goroutines are asleep)`)
	wordsOfRuntime = regexp.MustCompile(`fatal error: |SIG[A-Z]+: |runtime: `)
)

// Write reads a part of the output. It never fails.
func (w *lastWords) Write(p []byte) (int, error) {
	for part := range bytes.Lines(p) {
		w.line = append(w.line, part[:min(len(part), maxWords-len(w.line))]...)
		if part[len(part)-1] == '\n' {
			w.panicked = w.panicked || wordsOfPanic.Match(w.line)
			w.failed = w.failed || wordsOfRuntime.Match(w.line)
			w.line = w.line[:0]
		}
	}
	return len(p), nil
}
