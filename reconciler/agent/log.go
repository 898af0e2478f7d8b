package agent

import (
	"context"
	"log/slog"

	"github.com/go-logr/logr"
)

// Quiet returns a logger for libraries whose messages matter only when something is wrong.
func Quiet(log *slog.Logger) logr.Logger {
	return logr.FromSlogHandler(atLeast(slog.LevelWarn, log.Handler()))
}

// atLeast drops what is below a level.
func atLeast(level slog.Level, h slog.Handler) slog.Handler {
	return levelHandler{Handler: h, level: level}
}

// levelHandler lets through what is at least of a level.
type levelHandler struct {
	slog.Handler
	level slog.Level
}

func (h levelHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

func (h levelHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return levelHandler{Handler: h.Handler.WithAttrs(a), level: h.level}
}

func (h levelHandler) WithGroup(name string) slog.Handler {
	return levelHandler{Handler: h.Handler.WithGroup(name), level: h.level}
}
