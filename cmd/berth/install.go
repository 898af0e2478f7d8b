package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/cmd/internal/checkup"
	"berth.dev/berth/cmd/internal/installation"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/health"
)

// installOptions are the flags of `berth install`.
type installOptions struct {
	connection
	installation.Options
	dryRun, export, force, noWait bool
	replicas                      uint16
	agentName                     string
	timeout                       time.Duration
}

func newInstall(s streams) *cobra.Command {
	o := &installOptions{}
	c := &cobra.Command{
		Use:   "install",
		Short: "Install or upgrade Berth in a cluster",
		Long: `Install Berth in a cluster, or upgrade the installation to the version of this program: the CRDs, the
agent's rights, the admission policies, and the agent. It applies the same objects as kubectl apply
--server-side -k deploy, with your rights, which must be those of a cluster administrator. First the
API server checks all objects in a dry run; if it refuses one, nothing changes.

The command waits until the agent is ready, and shows what it waits for. Fields that another client
set to other values are conflicts, such as an image set with kubectl; --force-conflicts overwrites
them. An upgrade keeps the image, the pull Secrets, the number of pods and the agent's name, unless
flags set them.
Environments keep running, and Jobs do not run again.

Exits with 0 once the agent is ready, with 1 on a timeout, with 3 if the installation is refused.`,
		Example: `  berth install --image registry.example.com/infra/berth:v0.1.0
  berth install --dry-run
  berth install --export > berth.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c, s) },
	}
	f := c.Flags()
	o.connection.addTo(f)
	f.StringVar(&o.Image, "image", "", "the agent's image (default: the installed one, or the one in the manifests)")
	f.StringArrayVar(&o.PullSecrets, "image-pull-secret", nil, "name of a Secret in the agent's namespace with credentials of the image's registry; can be repeated; \"\" removes installed ones")
	f.Uint16Var(&o.replicas, "replicas", 0, "number of the agent's pods; 0 installs everything but a running agent (default: the installed number, or 1)")
	f.StringVar(&o.agentName, "agent-name", "", "name of the agent, for several clusters: it runs the entries with the same agent; \"\" removes an installed one (default: the installed name, or none)")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would change, as the API server sees it, and change nothing")
	f.BoolVar(&o.export, "export", false, "print the objects as YAML, without a cluster")
	f.BoolVar(&o.force, "force-conflicts", false, "overwrite fields that other clients set, and newer CRDs")
	f.BoolVar(&o.noWait, "no-wait", false, "do not wait until the agent is ready")
	f.DurationVar(&o.timeout, "timeout", defaultTimeout, "maximum time to wait")
	return c
}

func (o *installOptions) run(c *cobra.Command, s streams) error {
	switch {
	case o.timeout <= 0:
		return usageError(c, "--timeout %s must be more than 0", o.timeout)
	case o.dryRun && o.export:
		return usageError(c, "--dry-run asks the cluster, and --export needs none: choose one")
	}
	if err := checkAgentName(o.agentName); err != nil {
		return usageError(c, "%w", err)
	}
	o.Options.Namespace = o.connection.namespace
	if c.Flags().Changed("replicas") {
		o.Replicas = new(int64(o.replicas))
	}
	if c.Flags().Changed("agent-name") {
		o.AgentName = &o.agentName
	}
	if o.export {
		objects, err := installation.Objects(o.Options)
		if err != nil {
			return err
		}
		return export(s.out, objects)
	}
	v, err := o.open()
	if err != nil {
		return err
	}
	i := &installation.Installer{Client: v.dynamic, Conflicts: installation.Refuse}
	if o.force {
		i.Conflicts = installation.Force
	}
	steps, err := o.plan(c.Context(), v, i)
	if o.dryRun {
		return errors.Join(writeSteps(s.out, steps), o.refused(err))
	}
	if err != nil {
		return o.refused(err)
	}
	return o.install(c.Context(), s, i, steps)
}

// plan checks the cluster's version, and plans the installation with the options of an existing one.
func (o *installOptions) plan(ctx context.Context, v *viewer, i *installation.Installer) ([]installation.Step, error) {
	server, err := v.discovery.ServerVersion()
	if err != nil {
		return nil, err
	}
	if found := checkup.Cluster(server); found.Result == checkup.Problem {
		return nil, errors.New(found.Message)
	}
	installed, err := i.Installed(ctx, o.Options.Namespace)
	if err != nil {
		return nil, err
	}
	objects, err := installation.Objects(o.Options.Or(installed))
	if err != nil {
		return nil, err
	}
	return i.Plan(ctx, objects)
}

// refused adds the next step to the errors of a plan.
func (o *installOptions) refused(err error) error {
	if err == nil {
		return nil
	}
	if !apierrors.IsForbidden(err) {
		err = explain(err, o.connection.namespace)
	}
	return fmt.Errorf("nothing was changed: %w", err)
}

// export prints objects for kubectl apply.
func export(w io.Writer, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		if _, err := io.WriteString(w, "---\n"); err != nil {
			return err
		}
		if err := output.YAML.Write(w, object.Object); err != nil {
			return err
		}
	}
	return nil
}

func writeSteps(w io.Writer, steps []installation.Step) error {
	var rows [][]string
	for _, step := range steps {
		rows = append(rows, []string{string(step.Action), installation.Name(step.Object)})
	}
	return output.NewTable(w, len(installation.Unchanged)).Write(rows...)
}

// done are the actions in the past tense.
var done = map[installation.Action]string{installation.Create: "created", installation.Change: "changed"}

// install applies the steps, and waits until the agent is ready.
func (o *installOptions) install(ctx context.Context, s streams, i *installation.Installer, steps []installation.Step) error {
	changes := 0
	i.Progress = func(step installation.Step) {
		if what, ok := done[step.Action]; ok {
			changes++
			fmt.Fprintln(s.out, installation.Name(step.Object)+": "+what)
		}
	}
	if err := i.Apply(ctx, steps); err != nil {
		return fmt.Errorf("%w; to continue, run berth install again", explain(err, o.connection.namespace))
	}
	if changes == 0 {
		fmt.Fprintf(s.out, "all %d objects are installed already\n", len(steps))
	}
	for _, step := range steps {
		if step.Object.GetKind() != "Deployment" {
			continue
		}
		if err := o.await(ctx, s.out, i, step.Object); err != nil {
			return err
		}
	}
	return nil
}

// await waits until the agent is ready, and says what to do next.
func (o *installOptions) await(ctx context.Context, w io.Writer, i *installation.Installer, deployment *unstructured.Unstructured) error {
	namespace, flag := o.connection.namespace, ""
	if namespace != defaultNamespace {
		flag = " -n " + namespace
	}
	if replicas, _, _ := unstructured.NestedInt64(deployment.Object, "spec", "replicas"); replicas == 0 {
		_, err := fmt.Fprintf(w, "\nBerth is installed in the namespace %s, but the agent has no pods. Start it:\n\n  berth install --replicas 1%s\n", namespace, flag)
		return err
	}
	if !o.noWait {
		p := progress{view: newView(w)}
		waiting, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("waited %s", o.timeout))
		defer cancel()
		err := i.Await(waiting, deployment, func(state installation.State) { p.show(agentFrame(deployment, state)) })
		if err != nil && ctx.Err() == nil && waiting.Err() != nil {
			return &codedError{code: exitDifferent, err: err}
		}
		if err := cmp.Or(err, p.err); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\nBerth is installed in the namespace %s. Check it:\n\n  berth check%s\n\nThen create a Repository in that namespace; docs/getting-started.md shows one.\n", namespace, flag)
	return err
}

// agentFrame shows what the agent's Deployment waits for.
func agentFrame(deployment *unstructured.Unstructured, state installation.State) frame {
	f := frame{head: "waiting for the agent", last: state.Health.Status == health.Healthy}
	if f.last {
		f.head = "the agent is ready"
	}
	f.rows = append(f.rows, progressRow{"Deployment/" + deployment.GetName(), string(state.Health.Status), state.Health.Message})
	for _, pod := range state.Pods {
		f.rows = append(f.rows, progressRow{"Pod/" + pod.Name, string(pod.Health.Status), pod.Health.Message})
	}
	return f
}
