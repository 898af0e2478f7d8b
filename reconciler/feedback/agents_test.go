package feedback

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// named gives the Repository, its Environments and the agent a name.
func (o *office) named(agent string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.agent = agent
	for i := range o.repo.Spec.Environments {
		o.repo.Spec.Environments[i].Agent = agent
	}
	for _, env := range o.envs {
		env.Spec.Agent = agent
	}
}

// Two agents of one Repository, each in its cluster, would overwrite each other's reports.
func TestReportsCarryTheNameOfTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t)
		o.said(time.Second)
		o.stop()
		synctest.Wait()
		o.change(func() {
			o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}}
			o.repo.Spec.Feedback.Deployments = v1alpha1.DeploymentsRecorded
			env := environment("side", "Healthy", "")
			o.envs[env.Name] = env
		})
		o.named("east")
		o.starts()
		o.wants("everything has the name", time.Minute, "berth/east/review a Success", "list", "note 1007 in !7 Healthy", "deployment 0 of a to east/review/side Success")
		if body := o.bodies[1007]; !strings.Contains(body, "**Environments of** `side` **by the agent** `east`\n") {
			t.Errorf("the note says %q", body)
		}
		east, west := o.sender.lines[client.ObjectKeyFromObject(o.repo)], &line{Sender: New(Config{Agent: "west", Key: []byte("key")})}
		if a, b := east.marker(o.repo, 7), west.marker(o.repo, 7); a == b {
			t.Errorf("the notes of two agents have the same marker %s", a)
		}
		o.change(func() { clear(o.envs) })
		o.sender.Changed(environment("side", "Healthy", ""))
		o.wants("the end has it, too", time.Minute, "note 1007 in !7 removed", "end 5 of east/review/side")
		o.stop()
	})
}

// What the agent reported under an earlier name does not seem to go on.
func TestAnAgentGetsAnotherName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t, environment("side", "Syncing", ""))
		o.change(func() {
			o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}}
			o.repo.Spec.Feedback.Deployments = v1alpha1.DeploymentsRecorded
		})
		o.said(time.Minute)
		o.stop()
		synctest.Wait()
		o.named("east")
		o.starts()
		o.wants("the earlier ones end", time.Minute, "berth/review a Canceled", "berth/east/review a Running", "list",
			"end 5 of review/side", "deployment 0 of a to east/review/side Running", "note 1007 in !7 Syncing")
		o.stop()
	})
}

// The Secret with the token may be in the clusters of the other agents only.
func TestNothingIsReportedWithoutAnEntryOfTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t)
		o.said(time.Second)
		o.stop()
		synctest.Wait()
		o.change(func() { o.token, o.agent = "", "north" })
		o.starts()
		o.wants("nothing", time.Hour)
		if c := o.sender.Condition(o.repo); c != nil {
			t.Errorf("the condition is %s: %s", c.Reason, c.Message)
		}
		o.stop()
	})
}
