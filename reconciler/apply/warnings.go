package apply

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Warnings passes the API server's warnings to the step that made the request. As the WarningHandlerWithContext of a
// rest.Config it prints nothing, and drops the warnings of other requests.
type Warnings struct{}

// HandleWarningHeaderWithContext is called by client-go for every warning of an answer.
func (Warnings) HandleWarningHeaderWithContext(ctx context.Context, code int, _, text string) {
	if h, ok := ctx.Value(hearing{}).(*heard); ok && code == miscellaneous && text != "" {
		h.add(text)
	}
}

// miscellaneous is the only code of RFC 7234 that API servers use.
const miscellaneous = 299

// hearing is the context key for the collected warnings of a step. client-go has no other way to match warnings to
// requests.
type hearing struct{}

// heard collects the warnings of one step.
type heard struct {
	mu    sync.Mutex
	texts []string
}

// hear returns a context whose requests' warnings are collected.
func hear(ctx context.Context) (context.Context, *heard) {
	h := &heard{}
	return context.WithValue(ctx, hearing{}, h), h
}

// maxWarnings and maxWarning limit what is kept for one object.
const (
	maxWarnings = 5
	maxWarning  = 300
)

func (h *heard) add(text string) {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if runes := []rune(text); len(runes) > maxWarning {
		text = string(runes[:maxWarning-1]) + "…"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.texts) < maxWarnings && !slices.Contains(h.texts, text) {
		h.texts = append(h.texts, text)
	}
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(slices.Values(h.texts))
}
