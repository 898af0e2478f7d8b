package source

import (
	"math/rand/v2"
	"testing"
)

// The memory to renew a store with a large file comes out of the shared budget.
func TestARenewalDrawsFromTheBudget(t *testing.T) {
	o := newOrigin(t)
	const size = 3 << 20
	large := make([]byte, size)
	for i, random := 0, rand.New(rand.NewPCG(1, 2)); i < size; i++ {
		large[i] = byte(random.Uint32())
	}
	commit := o.commit(map[string]string{"large": string(large), "small": "s"})
	budget := NewBudget(64 << 20)
	r := mustOpen(t, Config{Dir: t.TempDir(), URL: o.URL(), Budget: budget})
	must(t, r.Fetch(soon(t), commit))
	written := 0
	must(t, r.store.repack(t.Context(), []string{commit}, budget, writes(func(p []byte) {
		if written += len(p); len(p) < size {
			return
		}
		if rest := budget.capacity - 2*size + 1; budget.large.TryAcquire(rest) {
			t.Error("the file that is written takes nothing of it")
			budget.large.Release(rest)
		}
	})))
	if written < size || !budget.large.TryAcquire(budget.capacity) {
		t.Errorf("after %d bytes some is still taken", written)
	}
}

type writes func([]byte)

func (w writes) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}
