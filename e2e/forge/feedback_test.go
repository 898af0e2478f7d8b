package forge_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/e2e/forge"
	"berth.dev/berth/e2e/world"
)

// reports lets the team's Repository report to Gitea through a gate, with a token of the scopes that
// docs/merge-requests.md asks for.
func (team *team) reports(t *testing.T, scopes ...string) *forge.Gate {
	t.Helper()
	gate := gitea.Gate()
	t.Cleanup(gate.Close)
	token, err := gitea.Token(t.Context(), team.Name+"-forge", scopes...)
	if err != nil {
		t.Fatal(err)
	}
	shared.SetSecret(reporter{t}, team.Name+"-forge", map[string]string{"token": token})
	team.configures(map[string]any{"provider": "Gitea", "url": gate.URL(), "secretRef": map[string]string{"name": team.Name + "-forge"}})
	return gate
}

func (team *team) configures(feedback map[string]any) {
	entries := team.Get().Spec.Environments
	for i := range entries {
		entries[i].Link = "https://${BRANCH_SLUG}.example.com"
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"feedback": feedback, "environments": entries}})
	if err != nil {
		panic(err)
	}
	team.Patch(string(patch))
}

// entriesWith returns the team's entries as JSON, after a change of each.
func (team *team) entriesWith(t *testing.T, change func(entry map[string]any)) string {
	t.Helper()
	var entries []map[string]any
	text, err := json.Marshal(team.Get().Spec.Environments)
	if err == nil {
		err = json.Unmarshal(text, &entries)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		change(entry)
	}
	if text, err = json.Marshal(entries); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// shows waits until a commit has a status with a state and a text.
func (team *team) shows(t *testing.T, commit, name, state, text string) {
	t.Helper()
	world.Await(t, fmt.Sprintf("%s of %.8s is %s: %s", name, commit, state, text), func() (string, bool) {
		s := team.forge.Status(commit, name)
		return fmt.Sprint(s), s.Status == state && strings.Contains(s.Description, text)
	})
}

// says waits until the only note of a merge request has all of the texts.
func (team *team) says(t *testing.T, number int64, texts ...string) forge.Note {
	t.Helper()
	var note forge.Note
	world.Await(t, fmt.Sprintf("the note of merge request %d says %q", number, texts), func() (string, bool) {
		notes := team.forge.Notes(number)
		if len(notes) != 1 {
			return fmt.Sprint(notes), false
		}
		note = notes[0]
		for _, text := range texts {
			if !strings.Contains(note.Body, text) {
				return note.Body, false
			}
		}
		return note.Body, true
	})
	return note
}

// feedback waits until the Repository's condition Feedback has a reason and a text.
func (team *team) feedback(t *testing.T, reason, text string) {
	t.Helper()
	world.Await(t, "Feedback is "+reason, func() (string, bool) {
		c := meta.FindStatusCondition(team.Get().Status.Conditions, "Feedback")
		if c == nil {
			return "there is none", false
		}
		return c.Reason + ": " + c.Message, c.Reason == reason && strings.Contains(c.Message, text)
	})
}

// The main use: whoever pushes sees in the merge request what runs where, why it failed, and that it is gone.
func TestTheMergeRequestShowsWhatRuns(t *testing.T) {
	posts := begins(t, "console")
	gate := posts.reports(t, "write:repository", "write:issue")
	main := posts.forge.Push("main", application("one"))
	posts.shows(t, main, "berth/production", "success", "Healthy")

	head := posts.forge.Push("feature/login", application("two"))
	posts.Environment("feature/login").Becomes("Healthy", head)
	posts.shows(t, head, "berth/review", "success", "Healthy")
	number := posts.forge.Open("feature/login")
	note := posts.says(t, number, "Environments of", "`feature/login`", "✅ Healthy", "`"+head[:8]+"`", "[open](https://feature-login-")
	t.Log(note.Body)
	posts.feedback(t, "Reported", "")

	t.Run("a failure is shown with its reason, and edits the same note", func(t *testing.T) {
		failed := posts.forge.Push("feature/login", map[string]string{"k8s/app.yaml": "kind: [\n"})
		posts.shows(t, failed, "berth/review", "success", "Failed, not blocking: Failed: k8s/app.yaml:")
		if again := posts.says(t, number, "❌ Failed", "k8s/app.yaml:", "berth retry console.review.feature-login-"); again.ID != note.ID {
			t.Errorf("note %d was not edited: there is %d", note.ID, again.ID)
		}
		posts.configures(map[string]any{"statuses": "Blocking"})
		posts.shows(t, failed, "berth/review", "failure", "Failed: k8s/app.yaml:")
	})
	t.Run("a restart repeats nothing", func(t *testing.T) {
		head = posts.forge.Push("feature/login", application("three"))
		note = posts.says(t, number, "✅ Healthy", head[:8])
		posts.shows(t, head, "berth/review", "success", "Healthy")
		if err := shared.Agent.Stop(); err != nil {
			t.Fatal(err)
		}
		before := len(gate.Requests())
		if err := shared.Agent.Start(); err != nil {
			t.Fatal(err)
		}
		other := posts.forge.Push("main", application("four"))
		posts.shows(t, other, "berth/production", "success", "Healthy")
		for _, request := range gate.Requests()[before:] {
			if !strings.HasPrefix(request, "GET ") && !strings.HasSuffix(request, other) {
				t.Errorf("after the restart: %s", request)
			}
		}
	})
	t.Run("a deleted note is written again, and a reopened merge request keeps its own", func(t *testing.T) {
		posts.forge.DeleteNote(note.ID)
		head = posts.forge.Push("feature/login", application("five"))
		note = posts.says(t, number, head[:8], "✅ Healthy")
		posts.forge.SetState(number, "closed")
		head = posts.forge.Push("feature/login", application("six"))
		posts.shows(t, head, "berth/review", "success", "Healthy")
		posts.forge.SetState(number, "open")
		head = posts.forge.Push("feature/login", application("seven"))
		if again := posts.says(t, number, head[:8], "✅ Healthy"); again.ID != note.ID {
			t.Errorf("note %d was not edited: there is %d", note.ID, again.ID)
		}
	})
	t.Run("the note says that the environment is removed", func(t *testing.T) {
		posts.forge.DeleteBranch("feature/login")
		world.Await(t, "two listings show that the branch is gone", func() (string, bool) {
			posts.Patch(fmt.Sprintf(`{"metadata": {"annotations": {"berth.dev/requested": "%d"}}}`, time.Now().UnixNano()))
			env, there := posts.Environment("feature/login").Get()
			return world.Line(env), !there
		})
		posts.says(t, number, "Removed")
	})
}

// A forge that does not answer, or refuses, delays no sync. It is caught up with afterwards, with the present state alone.
func TestFaultsOfTheForge(t *testing.T) {
	posts := begins(t, "faults")
	gate := posts.reports(t, "write:repository", "write:issue")
	posts.forge.Push("main", application("one"))
	head := posts.forge.Push("side", application("one"))
	posts.Environment("side").Becomes("Healthy", head)
	number := posts.forge.Open("side")
	posts.says(t, number, head[:8], "✅ Healthy")
	for i, fault := range []struct {
		status, after int
		reason, text  string
	}{
		{401, 0, "Unauthorized", "401 Unauthorized: a fault of the test; check the Secret that spec.feedback.secretRef names"},
		{403, 0, "Forbidden", "the token needs the scope write:"},
		{404, 0, "NotFound", "check spec.url"},
		{429, 1, "RateLimited", "429 Too Many Requests"},
		{500, 0, "Unreachable", "500 Internal Server Error"},
		{forge.Down, 0, "Unreachable", "EOF"},
	} {
		t.Run(fmt.Sprint(fault.status), func(t *testing.T) {
			gate.Fail(fault.status, fault.after)
			began := time.Now()
			missed := posts.forge.Push("side", application(fmt.Sprint("missed ", i)))
			posts.Environment("side").Becomes("Healthy", missed)
			t.Logf("healthy after %s", time.Since(began).Round(time.Millisecond))
			posts.feedback(t, fault.reason, fault.text)
			last := posts.forge.Push("side", application(fmt.Sprint("last ", i)))
			posts.Environment("side").Becomes("Healthy", last)
			gate.Fail(0, 0)
			posts.shows(t, last, "berth/review", "success", "Healthy")
			posts.says(t, number, last[:8], "✅ Healthy")
			posts.feedback(t, "Reported", "")
			if s := posts.forge.Status(missed, "berth/review"); s.Status == "success" {
				t.Errorf("the history was reported, too: %v", s)
			}
		})
	}
}

// A token without a scope costs only what needs it, and the condition names the scope.
func TestATokenThatMayNotComment(t *testing.T) {
	posts := begins(t, "mute")
	posts.reports(t, "write:repository")
	head := posts.forge.Push("main", application("one"))
	posts.Environment("side").Becomes("Healthy", posts.forge.Push("side", application("two")))
	posts.forge.Open("side")
	posts.shows(t, head, "berth/production", "success", "Healthy")
	posts.feedback(t, "Forbidden", "write:issue")
}

// The names of branches, the messages of commits and the logs of pods appear as they are written, and do nothing.
func TestHostileNamesInANote(t *testing.T) {
	posts := begins(t, "hostile")
	posts.reports(t, "write:repository", "write:issue")
	posts.forge.Push("main", application("one"))
	posts.Environment("other").Becomes("Healthy", posts.forge.Push("other", application("one")))
	victim := posts.forge.Open("other")
	posts.says(t, victim, "✅ Healthy")
	branch := "@ada|`x`<b>#1"
	hostile := fmt.Sprintf("closes #%d, fixes #%[1]d !%[1]d :tada: https://example.com/x <img src=x> [x](javascript:alert) @ada @dependabot merge", victim)
	log := strings.ReplaceAll(hostile, "\"", "'") + `\n/close\n` + "```" + `\n# heading\n</details><script>alert(1)</script>`
	crash := "labels: {app: api, kwok.berth.dev/behaviour: crash-loop}, annotations: {kwok.berth.dev/exit-code: \"1\", kwok.berth.dev/log: \"" + log + "\"}"
	head := posts.forge.PushSaying(branch, hostile, behaves("two", crash))
	posts.Environment(branch).Becomes("Failed", head)
	number := posts.forge.Open(branch)
	note := posts.says(t, number, head[:8], "❌ Failed", "closes #", "</details><script>")
	for line := range strings.Lines(note.Body) {
		if strings.HasPrefix(line, "/") || strings.Contains(line, "@") {
			t.Errorf("a line begins with a slash, or has an at sign: %s", line)
		}
	}
	html := posts.forge.Rendered(note.Body)
	for _, bad := range []string{"<b>", "<img", "<script>", "<h1", `class="mention"`, "ref-issue", `aria-label="party popper"`, "javascript:alert\"", `href="https://example.com/x"`} {
		if strings.Contains(html, bad) {
			t.Errorf("the page has %q: %s", bad, html)
		}
	}
	for _, good := range []string{"&lt;b&gt;#1", "closes #", "&lt;/details&gt;&lt;script&gt;"} {
		if !strings.Contains(html, good) {
			t.Errorf("the page lacks %q: %s", good, html)
		}
	}
	if kinds := posts.forge.Events(victim); slices.Contains(kinds, "comment_ref") || slices.Contains(kinds, "close") {
		t.Errorf("the note refers to another merge request, where this happened: %q", kinds)
	}
}

// pushes is how many pushes are measured; docs/performance.md has the figures of 20.
var pushes = flag.Int("pushes", 1, "number of pushes to measure")

// crashes returns the application whose container ends with an error, and logs a text.
func crashes(text, log string) map[string]string {
	return behaves(text, `labels: {app: api, kwok.berth.dev/behaviour: crash-loop}, annotations: {kwok.berth.dev/exit-code: "1", kwok.berth.dev/log: "`+log+`"}`)
}

// The time from the end of a push, healthy or failed, until the merge request shows it, and the time from the failure of a pod
// until it shows the last lines of its log.
func TestTimeFromAPushToTheNote(t *testing.T) {
	posts := begins(t, "measured")
	posts.reports(t, "write:repository", "write:issue")
	posts.forge.Push("main", application("one"))
	posts.Environment("side").Becomes("Healthy", posts.forge.Push("side", application("two")))
	number := posts.forge.Open("side")
	posts.says(t, number, "✅ Healthy")
	took := map[string][]time.Duration{}
	for i := range *pushes {
		for sign, files := range map[string]map[string]string{"✅": application(fmt.Sprint("push ", i)), "❌": {"k8s/app.yaml": "kind: ["}} {
			commit := posts.forge.Push("side", files)
			began := time.Now()
			posts.shows(t, commit, "berth/review", "success", "")
			took["status "+sign] = append(took["status "+sign], time.Since(began))
			posts.says(t, number, sign, commit[:8])
			took["note "+sign] = append(took["note "+sign], time.Since(began))
		}
		commit := posts.forge.Push("side", crashes(fmt.Sprint("crash ", i), fmt.Sprint("panic: attempt ", i)))
		posts.Environment("side").Becomes("Failed", commit)
		began := time.Now()
		posts.shows(t, commit, "berth/review", "success", "Failed, not blocking: ")
		took["status of a pod that failed"] = append(took["status of a pod that failed"], time.Since(began))
		posts.says(t, number, "❌", commit[:8])
		took["note of a pod that failed"] = append(took["note of a pod that failed"], time.Since(began))
		posts.says(t, number, fmt.Sprint("panic: attempt ", i))
		took["log of a pod that failed"] = append(took["log of a pod that failed"], time.Since(began))
	}
	for what, all := range took {
		slices.Sort(all)
		t.Logf("%s: median %s of %d, from %s to %s", what, all[len(all)/2].Round(time.Millisecond), len(all), all[0].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
	}
}
