package preview

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth.dev/berth/reconciler/naming"
)

func TestARenamedEntryChangesNothingOfWhatRuns(t *testing.T) {
	for _, branch := range []string{"main", "feature/login"} {
		repo := repository()
		entry := &repo.Spec.Environments[0]
		if branch != "main" {
			entry = review(repo)
		}
		env := environment(repo, entry.Name, branch)
		read := func() *settings {
			t.Helper()
			follows := naming.EntryOf(repo, &env)
			if follows != entry {
				t.Fatalf("%s follows %v", env.Name, follows)
			}
			s, err := settingsOf(&env, repo, follows, "installation")
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		before := read()
		entry.Name = "renamed"
		after := read()
		if diff := cmp.Diff(before.Variables(commit("a")), after.Variables(commit("a"))); diff != "" {
			t.Errorf("the variables of %s (-before +after):\n%s", branch, diff)
		}
		if got := after.Variables(commit("a"))["ENVIRONMENT"]; got != env.Name {
			t.Errorf("ENVIRONMENT of %s is %v", env.Name, got)
		}
		if before.Settings != after.Settings {
			t.Errorf("the input of %s was %s and is %s", branch, before.Settings, after.Settings)
		}
	}
}

func TestAnEntryThatSaysSomethingElseIsAnotherInput(t *testing.T) {
	repo := repository()
	env := environment(repo, "review", "f0")
	before, err := settingsOf(&env, repo, review(repo), "installation")
	if err != nil {
		t.Fatal(err)
	}
	review(repo).Path = "elsewhere"
	after, err := settingsOf(&env, repo, review(repo), "installation")
	if err != nil {
		t.Fatal(err)
	}
	if before.Settings == after.Settings {
		t.Error("another path is the same input")
	}
}
