package secrets

import "context"

// Unguarded has a worker decrypt what nothing was checked of, as if the guard had overlooked it.
func (d *Decrypter) Unguarded(ctx context.Context, s Sealed) (Unsealed, error) {
	return d.workers.unseal(ctx, d.grant(), s)
}

// Running counts the processes.
func (w *Workers) Running() int { return len(w.places) }

// Environment is that of a worker for the Decrypter's files.
func (d *Decrypter) Environment() []string { return d.workers.environment(d.grant()) }
