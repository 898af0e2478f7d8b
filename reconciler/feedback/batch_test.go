package feedback

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// Fifty branches change at once. GitLab gets three requests for each, of 300 ms: 45 s one after the other. GitHub asks for that.
func TestManyBranchesAreReportedInTime(t *testing.T) {
	for _, test := range []struct {
		provider v1alpha1.ForgeProvider
		within   time.Duration
		most     int
	}{
		{v1alpha1.ForgeGitLab, 5 * time.Second, 10},
		{v1alpha1.ForgeGitHub, time.Minute, 1},
	} {
		t.Run(string(test.provider), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := opens(t)
				names := make([]string, 50)
				o.change(func() {
					o.repo.Spec.Feedback.Provider = test.provider
					for i := range names {
						names[i] = fmt.Sprintf("b%02d", i)
						env := environment(names[i], "Healthy", "")
						o.envs[env.Name], o.open = env, append(o.open, forge.MergeRequest{Number: int64(i + 1), Branch: names[i]})
					}
				})
				o.said(time.Minute)
				o.change(func() { o.slow = 450 * time.Millisecond })
				o.sender.tell(client.ObjectKeyFromObject(o.repo), func(l *line) { // all at once: each would begin a round
					for _, name := range names {
						env := environment(name, "Failed", "")
						env.Status.Feedback = o.envs[env.Name].Status.Feedback
						o.envs[env.Name], l.changed[name] = env, true
					}
				})
				reported := 0
				for _, call := range o.said(test.within) {
					if strings.HasSuffix(call, "Failed") {
						reported++
					}
				}
				if reported != 100 || o.most != test.most {
					t.Errorf("after %s, %d of 100 reports were made, at most %d at a time; want %d", test.within, reported, o.most, test.most)
				}
				o.stop()
			})
		})
	}
}

// What the branches after it would get, too, ends a batch, whatever those beside it get.
func TestABatchEnds(t *testing.T) {
	d := newDuty()
	b := &batch{duty: d, left: []string{"a", "b", "c", "d"}}
	for range 3 {
		b.next()
	}
	b.done("b", fault(forge.RateLimited, time.Minute))
	b.done("a", nil)
	b.done("c", fault(forge.NotFound, 0))
	if name, more := b.next(); more || forge.ReasonOf(b.last) != forge.RateLimited || len(d.failed) != 3 || d.failed["a"] != nil {
		t.Errorf("next is %q, the error %v, failed are %v", name, b.last, d.failed)
	}
}
