package environments

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler/naming"
)

func TestARenamedEntryChangesNothingOfWhatRuns(t *testing.T) {
	for _, branch := range []string{"main", "feature/login"} {
		repo := apitest.Repository()
		entry := &repo.Spec.Environments[0]
		if branch != "main" {
			entry = &repo.Spec.Environments[1]
		}
		env := apitest.Environment(repo, entry.Name, branch)
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
		if diff := cmp.Diff(before.Variables(apitest.Commit("a")), after.Variables(apitest.Commit("a"))); diff != "" {
			t.Errorf("the variables of %s (-before +after):\n%s", branch, diff)
		}
		if got := after.Variables(apitest.Commit("a"))["ENVIRONMENT"]; got != env.Name {
			t.Errorf("ENVIRONMENT of %s is %v", env.Name, got)
		}
		if before.Settings != after.Settings {
			t.Errorf("the input of %s was %s and is %s", branch, before.Settings, after.Settings)
		}
	}
}

func TestAnEntryThatSaysSomethingElseIsAnotherInput(t *testing.T) {
	repo := apitest.Repository()
	env := apitest.Environment(repo, "review", "f0")
	before, err := settingsOf(&env, repo, &repo.Spec.Environments[1], "installation")
	if err != nil {
		t.Fatal(err)
	}
	repo.Spec.Environments[1].Path = "elsewhere"
	after, err := settingsOf(&env, repo, &repo.Spec.Environments[1], "installation")
	if err != nil {
		t.Fatal(err)
	}
	if before.Settings == after.Settings {
		t.Error("another path is the same input")
	}
}
