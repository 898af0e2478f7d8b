package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
)

// describeOptions are the flags of `berth describe`.
type describeOptions struct {
	which
	elsewhere elsewhere
	output    string
}

func newDescribe(s streams) *cobra.Command {
	o := &describeOptions{}
	c := &cobra.Command{
		Use:   "describe ENV",
		Short: "Show one environment: its objects, Jobs, history, and what is wrong",
		Long: `Show all that is needed to find out why an environment is not healthy: every object with its
health and the reason, the steps of the sync with their times, Jobs, the last syncs, events, and
the last log lines of failing containers.
ENV is the name of an Environment, or a branch that only one environment has.

It reads the cluster with your rights, and notes what they do not allow. If you may read the
Secrets of the namespace, their values are removed from the logs. The objects of an environment in
another cluster are read with your rights there, by the context of the cluster's name or the one of
--cluster-context.

Exits with 0 if the environment is healthy, with 1 if it is not.`,
		Example: `  berth describe feature/login
  berth describe posts.production.main
  berth describe --branch main --repository posts -o json`,
		Args:              atMostOne,
		ValidArgsFunction: o.completeArgs,
		RunE: func(c *cobra.Command, args []string) error {
			format, err := o.format()
			if err != nil {
				return usageError(c, "%w", err)
			}
			if err := o.needed(c, args); err != nil {
				return err
			}
			v, err := o.open()
			if err != nil {
				return err
			}
			env, err := o.environment(c.Context(), v, args)
			if err != nil {
				return err
			}
			if err := o.elsewhere.misplaced(env); err != nil {
				return usageError(c, "%w", err)
			}
			return v.describe(c.Context(), s.out, env, description{format, o.elsewhere.cluster(v, "berth describe ENV")})
		},
	}
	o.addTo(c)
	o.elsewhere.addTo(c.Flags(), &o.connection)
	must(c.RegisterFlagCompletionFunc("cluster-context", completeContexts(&o.connection)))
	addOutput(c, &o.output, "json or yaml", output.JSON, output.YAML)
	return c
}

func (o *describeOptions) format() (output.Format, error) {
	if o.output == "" {
		return formatTable, nil
	}
	return output.Parse(o.output, output.JSON, output.YAML)
}

// description is how an environment is described.
type description struct {
	format output.Format
	// elsewhere is that of inspect.Config.
	elsewhere func(*v1alpha1.Environment) (inspect.Cluster, error)
}

// describe prints an environment, and ends with an error if it is not healthy.
func (v *viewer) describe(ctx context.Context, w io.Writer, env *v1alpha1.Environment, how description) error {
	inspector := inspect.New(inspect.Config{Client: v, Discovery: v.discovery, Logs: v.logs, Now: time.Now, Elsewhere: how.elsewhere})
	d := inspector.Describe(ctx, env)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if how.format == formatTable {
		page := &page{w: w, now: time.Now()}
		page.description(d)
		if page.err != nil {
			return page.err
		}
	} else {
		printer := printer{kind: &environmentKind}
		printer.complete(env)
		if err := how.format.Write(w, d); err != nil {
			return err
		}
	}
	if readyOf(env.Status.Conditions).Reason != v1alpha1.ReasonHealthy {
		return errUnhealthy
	}
	return nil
}
