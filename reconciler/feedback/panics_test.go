package feedback

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// logged returns what the agent of an office logs from now on.
func (o *office) logged() *bytes.Buffer {
	log := &bytes.Buffer{}
	o.sender.Log = slog.New(slog.NewTextHandler(log, nil))
	return log
}

func TestAReportThatPanicsEndsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := environment("other", "Healthy", "", func(env *v1alpha1.Environment) { env.Spec.Commit, env.Status.ShortCommit = commitB, commitB[:8] })
		o := opens(t, environment("side", "Healthy", ""), other)
		log := o.logged()
		o.fails = func(call string) error {
			if strings.HasPrefix(call, "berth/review a") {
				panic("a text of the forge")
			}
			return nil
		}
		if calls := o.said(time.Second); !slices.Contains(calls, "berth/review b Success") {
			t.Errorf("the other branch is not reported: %q", calls)
		}
		if calls := o.said(24 * time.Hour); len(calls) < 24 || len(calls) > 300 {
			t.Errorf("it was tried %d times in a day", len(calls))
		}
		if told := o.envs["posts.review.side"].Status.Feedback; told == nil || !strings.Contains(told.Error, "a mistake in Berth") {
			t.Errorf("the status of its Environment has %+v", told)
		}
		o.change(func() { o.fails = nil })
		o.wants("it is reported when it panics no more", time.Hour, "berth/review a Success")
		o.stop()
		if text := log.String(); !strings.Contains(text, "panics_test.go") || !strings.Contains(text, "branch=side") || strings.Contains(text, "a text of the forge") {
			t.Errorf("the log has no place, no branch or a foreign text:\n%.500s", text)
		}
	})
}

func TestARoundThatPanicsIsRepeatedAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t, environment("side", "Healthy", ""))
		log := o.logged()
		o.fails = func(call string) error {
			if call == "list" {
				panic("a title of a merge request")
			}
			return nil
		}
		o.wants("the statuses before it", time.Second, "berth/review a Success", "list")
		for i := range 100 {
			o.becomes("side", "Healthy", fmt.Sprintf("%040d", i))
		}
		o.wants("changes do not shorten the pause", time.Minute)
		o.change(func() {
			o.fails = nil
			o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}}
		})
		if calls := o.said(lastRetry); !slices.Contains(calls, "note 1007 in !7 Healthy") {
			t.Errorf("afterwards: %q", calls)
		}
		o.stop()
		if text := log.String(); !strings.Contains(text, "panics_test.go") || strings.Contains(text, "a title") {
			t.Errorf("the log has no place, or a foreign text:\n%.500s", text)
		}
	})
}
