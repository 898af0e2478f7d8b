package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth.dev/berth/api/v1alpha1"
)

// counted returns an environment of three objects. It lists the unhealthy ones as "Kind/name health message".
func counted(reason string, unhealthy ...string) *v1alpha1.Environment {
	env := state(reason)
	env.Status.Objects = &v1alpha1.ObjectCount{Total: 3, Healthy: int32(3 - len(unhealthy))}
	for _, text := range unhealthy {
		words := strings.SplitN(text, " ", 3)
		kind, name, _ := strings.Cut(words[0], "/")
		env.Status.Unhealthy = append(env.Status.Unhealthy, v1alpha1.UnhealthyObject{Kind: kind, Name: name, Health: words[1], Message: words[2]})
	}
	return env
}

func TestLines(t *testing.T) {
	var text strings.Builder
	p := progress{view: &lines{w: &text, shown: map[string]string{}}}
	p.say("waiting for the Environment of the branch main")
	p.say("waiting for the Environment of the branch main")
	p.environment(state(""), verdict{})
	p.environment(state("Healthy"), verdict{})
	first := counted("Syncing", "Job/migrate Progressing running", "Deployment/api Progressing blocked by Job/migrate")
	p.environment(first, settled(first))
	p.environment(first, settled(first))
	second := counted("Syncing", "Deployment/api Progressing 0 of 1\nready \x1b[31m")
	p.environment(second, settled(second))
	queued := counted("Queued", "Deployment/api Progressing 0 of 1\nready \x1b[31m")
	p.environment(queued, settled(queued))
	last := counted("Healthy")
	last.Status.Link = "https://posts.example.com"
	p.environment(last, settled(last))
	want := `
waiting for the Environment of the branch main
posts.production.main: waiting for the agent, which has not reconciled it yet
posts.production.main: waiting for the agent
posts.production.main: b2b2b2b2 Syncing
  Job/migrate: Progressing: running
  Deployment/api: Progressing: blocked by Job/migrate
  Job/migrate: Healthy
  Deployment/api: Progressing: 0 of 1 ready ?[31m
posts.production.main: b2b2b2b2 Queued: the message
  Deployment/api: Healthy
posts.production.main: b2b2b2b2 Healthy https://posts.example.com
`
	if diff := cmp.Diff(want, "\n"+text.String()); diff != "" || p.err != nil {
		t.Error(diff, p.err)
	}
}

func TestScreen(t *testing.T) {
	var text strings.Builder
	width, height := 60, 7
	p := progress{view: &screen{w: &text, size: func() (int, int) { return width, height }}}
	draw := func(env *v1alpha1.Environment) string {
		text.Reset()
		p.environment(env, settled(env))
		return strings.ReplaceAll("\n"+text.String(), "\x1b", "ESC")
	}
	for _, test := range []struct {
		name string
		env  *v1alpha1.Environment
		want string
	}{
		{"it begins", counted("Syncing", "Job/migrate Progressing running", "Deployment/api Progressing 0 of 1 ready, and a long reason why"), `
posts.production.main: b2b2b2b2 Syncing, 1 of 3 objects healthy
OBJECT           HEALTH        MESSAGE
Job/migrate      Progressing   running
Deployment/api   Progressing   0 of 1 ready, and a long rea…
`},
		{"it goes on in its place", counted("Syncing", "Deployment/api Progressing 0 of 1 ready"), `
ESC[5AESC[Jposts.production.main: b2b2b2b2 Syncing, 2 of 3 objects healthy
OBJECT           HEALTH        MESSAGE
Job/migrate      Healthy
Deployment/api   Progressing   0 of 1 ready
`},
		{"the worst where there is no room", counted("Failed", "Deployment/api Progressing 0 of 1 ready", "Service/api Progressing x", "Ingress/api Failed refused"), `
ESC[5AESC[Jposts.production.main: b2b2b2b2 Failed
OBJECT           HEALTH        MESSAGE
Ingress/api      Failed        refused
Deployment/api   Progressing   0 of 1 ready
Service/api      Progressing   x
and 1 more
`},
		{"it settles", counted("Healthy"), `
ESC[6AESC[Jposts.production.main: b2b2b2b2 Healthy
OBJECT           HEALTH    MESSAGE
Job/migrate      Healthy
Deployment/api   Healthy
Service/api      Healthy
and 1 more
`},
		{"what stays on the screen is whole", counted("Failed", "Deployment/api Failed image registry.example.com/posts:1 cannot be pulled"), `
ESC[6AESC[Jposts.production.main: b2b2b2b2 Failed
OBJECT           HEALTH    MESSAGE
Deployment/api   Failed    image registry.example.com/posts:1 cannot be pulled
Job/migrate      Healthy
Service/api      Healthy
and 1 more
`},
	} {
		if diff := cmp.Diff(test.want, draw(test.env)); diff != "" || p.err != nil {
			t.Errorf("%s: %s %v", test.name, diff, p.err)
		}
	}
}

// The agent names at most 20 objects, so an object that is not named may be unhealthy too.
func TestManyAreNotHealthy(t *testing.T) {
	p := progress{view: &lines{w: &strings.Builder{}, shown: map[string]string{}}}
	p.note(counted("Syncing", "Job/migrate Progressing running"))
	env := counted("Syncing", "Deployment/api Progressing 0 of 1 ready")
	env.Status.Objects.Healthy = 0
	p.note(env)
	want := []progressRow{{"Job/migrate", "Progressing", "running"}, {"Deployment/api", "Progressing", "0 of 1 ready"}}
	if diff := cmp.Diff(want, p.rows, cmp.AllowUnexported(progressRow{})); diff != "" {
		t.Error(diff)
	}
}
