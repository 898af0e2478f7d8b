package forge

import (
	"context"
	"net/http"
)

// Use is something that the agent does at the forge.
type Use string

// The uses.
const (
	UseStatuses    Use = "statuses"
	UseNotes       Use = "notes"
	UseDeployments Use = "deployments"
)

// Probe returns an error if the token may not be used for something. It changes nothing: it asks for changes of a commit
// and a note that cannot exist, and expects that they are not found.
func (c *Client) Probe(ctx context.Context, use Use) error {
	if use == UseDeployments {
		if _, err := c.deployer(); err != nil {
			return err
		}
	}
	return c.probe(ctx, use)
}

// noCommit is the id of no commit.
const noCommit = "0000000000000000000000000000000000000000"

// missing drops the errors that a probe expects from a forge that would have done it. Gitea answers 500 for a commit that
// does not exist.
func missing(err error) error {
	switch ReasonOf(err) {
	case NotFound, Refused:
		return nil
	}
	return err
}

func (h *hub) probe(ctx context.Context, use Use) error {
	if _, err := h.send(ctx, operation{"read the repository", h.readPulls}, request{method: http.MethodGet, path: h.project}); err != nil {
		return err
	}
	switch use {
	case UseNotes:
		if _, _, err := h.mergeRequests(ctx, 1); err != nil {
			return err
		}
		return missing(h.editNote(ctx, 0, 0, "a test of Berth, which changes nothing"))
	case UseDeployments:
		_, err := h.setDeployment(ctx, Deployment{Commit: noCommit, Environment: "berth", State: Success})
		return missing(err)
	}
	_, err := h.setStatus(ctx, Status{Commit: noCommit, Name: "berth", State: Success, Weight: Blocking})
	if ReasonOf(err) == Unreachable && h.Provider == Gitea {
		return nil
	}
	return missing(err)
}

func (g *gitlab) probe(ctx context.Context, use Use) error {
	if _, err := g.send(ctx, operation{"read the project", gitlabRead}, request{method: http.MethodGet, path: g.project}); err != nil {
		return err
	}
	switch use {
	case UseNotes:
		if _, _, err := g.mergeRequests(ctx, 1); err != nil {
			return err
		}
		return missing(g.editNote(ctx, 0, 0, "a test of Berth, which changes nothing"))
	case UseDeployments: // an id that no deployment has, because a new deployment would create its environment
		_, err := g.setDeployment(ctx, Deployment{ID: -1, State: Success})
		return missing(err)
	}
	_, err := g.postStatus(ctx, Status{Commit: noCommit, Name: "berth", State: Success}, pipeline{})
	return missing(err)
}
