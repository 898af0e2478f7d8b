package web

import (
	"context"

	"berth.dev/berth/api/v1alpha1"
)

// glimpse is the board as one viewer may see it.
type glimpse struct {
	*board
	// may is Config.MayRead.
	may func(ctx context.Context, verb, resource, name string) error
}

// list returns all Environments, as board.list.
func (g glimpse) list(ctx context.Context) ([]*v1alpha1.Environment, error) {
	if err := g.allows(ctx, "list", "environments", ""); err != nil {
		return nil, err
	}
	return g.board.list(ctx)
}

// environment returns one Environment, or nil. Without the right to read it, nobody learns whether it exists.
func (g glimpse) environment(ctx context.Context, name string) (*v1alpha1.Environment, error) {
	if err := g.allows(ctx, "get", "environments", name); err != nil {
		return nil, err
	}
	return g.board.environment(ctx, name)
}

// repos returns all Repositories by name, and why there are none.
func (g glimpse) repos(ctx context.Context) (map[string]*v1alpha1.Repository, error) {
	if err := g.allows(ctx, "list", "repositories", ""); err != nil {
		return nil, err
	}
	return g.board.repos(ctx)
}

// follows reports whether the viewer may learn which Environments change.
func (g glimpse) follows(ctx context.Context) bool {
	return g.allows(ctx, "list", "environments", "") == nil
}

func (g glimpse) allows(ctx context.Context, verb, resource, name string) error {
	if g.may == nil {
		return nil
	}
	return g.may(ctx, verb, resource, name)
}
