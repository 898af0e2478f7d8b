package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// Deployment is the deployment of a commit to an environment, as GitHub and GitLab record it.
type Deployment struct {
	Commit, Branch string
	Environment    string // its name at the forge, such as review/feature-login
	State          State
	Description    string
	// Link is the environment's address; empty: it has none yet.
	Link string
	// Namespace is where it runs in the cluster.
	Namespace string
	// ID is the one that SetDeployment returned for this commit, or 0. A final state is followed by another deployment.
	ID int64
	// Shared says that something else is deployed to the same environment. It outlives the end of this deployment.
	Shared bool
}

// deployer is an api that records deployments.
type deployer interface {
	setDeployment(ctx context.Context, d Deployment) (int64, error)
	endDeployment(ctx context.Context, d Deployment) error
}

// SetDeployment records the state of a deployment, and returns its id, or 0 if the forge has no record of that state.
// The id may come with an error: the deployment exists, and the forge refused its state or its address.
func (c *Client) SetDeployment(ctx context.Context, d Deployment) (int64, error) {
	api, err := c.deployer()
	if err != nil {
		return 0, err
	}
	return api.setDeployment(ctx, d)
}

// EndDeployment records that the environment of the last deployment is gone, or that only the deployment is if it is Shared.
func (c *Client) EndDeployment(ctx context.Context, d Deployment) error {
	api, err := c.deployer()
	if err != nil {
		return err
	}
	return api.endDeployment(ctx, d)
}

func (c *Client) deployer() (deployer, error) {
	if api, ok := c.api.(deployer); ok && c.connection.Provider != Gitea {
		return api, nil
	}
	return nil, &Error{Reason: Invalid, Op: "record deployments", Cause: "Gitea and Forgejo have no deployments", Hint: "set spec.feedback.deployments to Never"}
}

// The permissions.
const (
	githubDeploy = "the permission Deployments: write"
	gitlabDeploy = gitlabWrite
)

// githubDeployments maps states: https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status
var githubDeployments = map[State]string{Pending: "queued", Running: "in_progress", Success: "success", Failed: "failure", Canceled: "inactive"}

// setDeployment records a deployment of GitHub. Without required_contexts and auto_merge, GitHub would refuse a commit whose
// checks have not ended, or merge the default branch into it:
// https://docs.github.com/en/rest/deployments/deployments#create-a-deployment
func (h *hub) setDeployment(ctx context.Context, d Deployment) (int64, error) {
	op := operation{"record a deployment", githubDeploy}
	if d.ID == 0 {
		var created struct {
			ID int64 `json:"id"`
		}
		body := map[string]any{"ref": d.Commit, "environment": d.Environment, "auto_merge": false, "required_contexts": []string{}, "description": "Berth"}
		if _, err := h.send(ctx, op, request{method: http.MethodPost, path: h.project + "/deployments", body: body, into: &created}); err != nil {
			return 0, err
		}
		d.ID = created.ID
	}
	body := map[string]any{"state": githubDeployments[d.State], "description": clean(d.Description, h.maxDescription)}
	if d.Link != "" {
		body["environment_url"] = d.Link
	}
	_, err := h.send(ctx, op, request{method: http.MethodPost, path: fmt.Sprintf("%s/deployments/%d/statuses", h.project, d.ID), body: body})
	return d.ID, err
}

func (h *hub) endDeployment(ctx context.Context, d Deployment) error {
	d.State, d.Description, d.Link = Canceled, "the environment is removed", ""
	_, err := h.setDeployment(ctx, d)
	return err
}

// gitlabDeployments maps states. GitLab has none for what waits:
// https://docs.gitlab.com/api/deployments/#create-a-deployment
var gitlabDeployments = map[State]string{Running: "running", Success: "success", Failed: "failed", Canceled: "canceled"}

// environment is an environment of GitLab. Deployments create it. GitLab shows the last two only of one that a user connected
// with an agent for Kubernetes, and not in deployments.
type environment struct {
	ID    int64  `json:"id"`
	Link  string `json:"external_url"`
	Agent *struct {
		ID int64 `json:"id"`
	} `json:"cluster_agent"`
	Namespace string `json:"kubernetes_namespace"`
}

func (g *gitlab) setDeployment(ctx context.Context, d Deployment) (int64, error) {
	state, known := gitlabDeployments[d.State]
	if !known {
		return d.ID, nil
	}
	var deployed struct {
		ID          int64       `json:"id"`
		Environment environment `json:"environment"`
	}
	r := request{method: http.MethodPut, path: fmt.Sprintf("%s/deployments/%d", g.project, d.ID), body: map[string]any{"status": state}, into: &deployed}
	if d.ID == 0 {
		r.method, r.path = http.MethodPost, g.project+"/deployments"
		r.body = map[string]any{"environment": d.Environment, "sha": d.Commit, "ref": d.Branch, "tag": false, "status": state}
	}
	_, err := g.send(ctx, operation{"record a deployment", gitlabDeploy}, r)
	if ReasonOf(err) == Refused && d.ID != 0 { // it has that state already, and only its address changed
		r.method, r.body = http.MethodGet, nil
		_, err = g.send(ctx, operation{"read a deployment", gitlabDeploy}, r)
	}
	if err != nil {
		return 0, err
	}
	return deployed.ID, g.setEnvironment(ctx, deployed.Environment, d)
}

// setEnvironment sets the address of a deployment's environment, and the namespace that GitLab shows pods of. GitLab refuses a
// namespace without an agent: https://docs.gitlab.com/api/environments/#update-an-existing-environment
func (g *gitlab) setEnvironment(ctx context.Context, at environment, d Deployment) error {
	if at.ID == 0 {
		return nil
	}
	r := request{method: http.MethodPut, path: fmt.Sprintf("%s/environments/%d", g.project, at.ID), into: &at}
	switch {
	case d.Link != "" && at.Link != d.Link && len(d.Link) <= gitlabMaxText:
		r.body = map[string]string{"external_url": d.Link}
		if _, err := g.send(ctx, operation{"set the address of an environment", gitlabDeploy}, r); err != nil {
			return err
		}
	case d.ID == 0 && d.Namespace != "":
		look := request{method: http.MethodGet, path: r.path, into: &at}
		if _, err := g.send(ctx, operation{"read an environment", gitlabDeploy}, look); err != nil {
			return err
		}
	}
	if at.Agent == nil || d.Namespace == "" || at.Namespace == d.Namespace {
		return nil
	}
	r.body = map[string]string{"kubernetes_namespace": d.Namespace}
	_, err := g.send(ctx, operation{"set the namespace of an environment", gitlabDeploy}, r)
	return err
}

// endDeployment stops the environment, without the jobs that CI may have for that.
func (g *gitlab) endDeployment(ctx context.Context, d Deployment) error {
	if d.Shared {
		if d.ID == 0 {
			return nil
		}
		d.State, d.Link = Canceled, ""
		_, err := g.setDeployment(ctx, d) // one that has ended keeps its state
		return err
	}
	op := operation{"stop an environment", gitlabDeploy}
	var found []environment
	if _, err := g.send(ctx, op, request{method: http.MethodGet, path: g.project + "/environments?states=available&name=" + url.QueryEscape(d.Environment), into: &found}); err != nil || len(found) == 0 {
		return err
	}
	_, err := g.send(ctx, op, request{method: http.MethodPost, path: fmt.Sprintf("%s/environments/%d/stop", g.project, found[0].ID), body: map[string]bool{"force": true}})
	return err
}
