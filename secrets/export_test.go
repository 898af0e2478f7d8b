package secrets

import "context"

// Unguarded lets a worker decrypt a part without any check, as if the guard had missed it.
func (d *Decrypter) Unguarded(ctx context.Context, s Sealed) (Unsealed, error) {
	return d.workers.unseal(ctx, d.grant(), s)
}

// Running returns the number of worker processes.
func (w *Workers) Running() int { return len(w.places) }

// Environment returns the environment variables of a worker for the Decrypter's files.
func (d *Decrypter) Environment() []string { return d.workers.environment(d.grant()) }
