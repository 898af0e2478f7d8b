package main

import (
	"context"
	"log/slog"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// loadConfig reads a context of a kubeconfig ("" is its current one), or, without a kubeconfig, what kubectl would read,
// or a pod's own account.
func loadConfig(kubeconfig, context string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: context}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
}

// scopes says from what the API server serves which kinds live outside namespaces. Of a kind that it does not serve,
// nobody can say so, and of one that it does not tell of now, neither.
func scopes(mapper meta.RESTMapper) func(schema.GroupKind) (bool, error) {
	return func(gk schema.GroupKind) (bool, error) {
		mapping, err := mapper.RESTMapping(gk)
		switch {
		case meta.IsNoMatchError(err):
			return false, nil
		case err != nil:
			return false, err
		}
		return mapping.Scope.Name() == meta.RESTScopeNameRoot, nil
	}
}

// levelHandler lets through what is at least of a level.
type levelHandler struct {
	slog.Handler
	level slog.Level
}

// atLeast drops what is below a level.
func atLeast(level slog.Level, h slog.Handler) slog.Handler {
	return levelHandler{Handler: h, level: level}
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
