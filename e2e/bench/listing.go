package main

import (
	"fmt"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// listing measures the cost of a poll of a repository that has many references in addition to its branches: merge
// requests.
func (b *bench) listing() []figure {
	large := b.server.Repository("large")
	head := large.Commit("main", files(), "begin")
	refs := map[string]string{}
	for i := range b.references {
		refs[fmt.Sprintf("refs/merge-requests/%d/head", i+1)] = head
	}
	for i := range b.branches {
		refs["refs/heads/"+branch(i)] = head
	}
	large.Refs(refs)
	b.follow("large", func(spec *v1alpha1.RepositorySpec) {
		spec.URL, spec.Poll = large.URL(), "@every 1s"
		spec.Environments[0].Branches = []v1alpha1.BranchPattern{"none/**"}
	})
	const polls = 5
	var sizes []float64
	world.AwaitFor(b.t, limit, "the repository is polled", func() (string, bool) {
		sizes = sizes[:0]
		for _, r := range b.server.Requests() {
			if r.Repository == "large" && r.Kind == gittest.ListRefs {
				sizes = append(sizes, float64(r.Sent+r.Received)/1000)
			}
		}
		return fmt.Sprintf("%d listings", len(sizes)), len(sizes) >= polls
	})
	return []figure{of(fmt.Sprintf("bytes of a poll, with %d other references", b.references), "kB", sizes).within(30)}
}
