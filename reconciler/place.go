package reconciler

import (
	"context"
	"fmt"

	"berth.dev/berth/reconciler/plan"
)

// RecordName returns under which name the record of an environment is stored. An environment that is re-created in another
// cluster has another record: what ran in one cluster has not run in the other.
func RecordName(environment, cluster string) string {
	if cluster == "" {
		return environment
	}
	return environment + "." + cluster
}

// load returns the record of an environment in this cluster.
func (r *Reconciler) load(ctx context.Context, environment string) (plan.Record, error) {
	record, err := r.Records.Load(ctx, RecordName(environment, r.Cluster.Name))
	record.Cluster = r.Cluster.Identity
	return record, err
}

func (r *Reconciler) save(ctx context.Context, e Environment, record plan.Record) error {
	return r.Records.Save(ctx, RecordName(e.Name, r.Cluster.Name), record)
}

// Elsewhere reports whether an environment ran in another cluster, to which the cluster's name led before. Nothing of its record
// holds in this one.
func (r *Reconciler) Elsewhere(ctx context.Context, environment string) (bool, error) {
	if r.Cluster.Name == "" {
		return false, nil
	}
	record, err := r.Records.Load(ctx, RecordName(environment, r.Cluster.Name))
	if err != nil && !isUnreadable(err) {
		return false, fmt.Errorf("reading the record: %w", err)
	}
	return record.Cluster != "" && record.Cluster != r.Cluster.Identity, nil
}

// BeginHere drops the record of an environment that ran in another cluster.
func (r *Reconciler) BeginHere(ctx context.Context, e Environment) error {
	r.Forget(e)
	return r.save(ctx, e, plan.Record{Cluster: r.Cluster.Identity})
}
