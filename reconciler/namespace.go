package reconciler

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/reconciler/manifest"
)

// Made reports whether Berth provably made a namespace for an environment of this name and id. Either the environment's
// record has the namespace as it is, or the namespace bears a proof for this environment.
func (r *Reconciler) Made(ctx context.Context, environment, id string, namespace *metav1.PartialObjectMetadata) (bool, error) {
	key := manifest.Key{Kind: "Namespace", Name: namespace.Name}
	digest, proof := manifest.ReadMark(namespace.Annotations[manifest.AnnotationDigest])
	if namespace.Labels[manifest.LabelEnvironment] != id || digest == "" {
		return false, nil
	}
	record, err := r.load(ctx, environment)
	if err != nil && !isUnreadable(err) {
		return false, fmt.Errorf("reading the record: %w", err)
	}
	return record.Applied[key].Digest == digest || r.prover().Made(id, key, digest, proof), nil
}
