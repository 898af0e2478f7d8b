package stores

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/source"
)

func TestAStoreIsOpenedAnewWhenItsSettingsChange(t *testing.T) {
	credentials := source.Credentials{Username: "berth", Password: "one"}
	stores := New(Config{
		Dir:         t.TempDir(),
		Credentials: func(context.Context, *v1alpha1.Repository) (source.Credentials, error) { return credentials, nil },
	})
	repo := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{URL: "https://git.example.com/posts.git"}}
	repo.Name = "posts"
	var last *source.Repository
	for _, test := range []struct {
		name     string
		change   func()
		reopened bool
	}{
		{"the first time", func() {}, true},
		{"nothing changed", func() {}, false},
		{"the password", func() { credentials.Password = "two" }, true},
		{"the address", func() { repo.Spec.URL = "https://git.example.com/other.git" }, true},
		{"a limit", func() { repo.Spec.Limits.Files = 7 }, true},
		{"nothing changed again", func() {}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.change()
			opened, _, err := stores.Open(t.Context(), repo)
			if err != nil {
				t.Fatal(err)
			}
			if reopened := opened != last; reopened != test.reopened {
				t.Errorf("reopened: %t, want %t", reopened, test.reopened)
			}
			last = opened
		})
	}
	if err := stores.Drop("posts"); err != nil {
		t.Fatal(err)
	}
}

// A Repository may be created again while the store of the earlier one is being removed.
func TestWhoWaitsForAStoreThatIsDroppedOpensOneThatAllFind(t *testing.T) {
	stores := New(Config{Dir: t.TempDir(), Credentials: noCredentials})
	repo := apitest.Repository()
	if _, _, err := stores.Open(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	waited := stores.slot(repo.Name)
	if err := stores.Drop(repo.Name); err != nil || stores.Has(repo.Name) {
		t.Fatalf("it is still open, %v", err)
	}
	if stores.slot(repo.Name) != waited {
		t.Error("who waited for the store would open one that no other caller finds")
	}
	if _, _, err := stores.Open(t.Context(), repo); err != nil || !stores.Has(repo.Name) {
		t.Errorf("it cannot be opened again: %v", err)
	}
}

// Every change of a Secret reopens the store, and so does every change of the error when it cannot be read.
func TestEveryKindOfCredentialsCounts(t *testing.T) {
	var credentials source.Credentials
	var trouble error
	stores := New(Config{Credentials: func(context.Context, *v1alpha1.Repository) (source.Credentials, error) {
		return credentials, trouble
	}})
	keys := map[string]string{}
	note := func(what string) {
		key := stores.Key(t.Context(), apitest.Repository())
		if other, known := keys[key]; known || key == "" {
			t.Errorf("%s is taken for %s: %q", what, other, key)
		}
		keys[key] = what
	}
	note("nothing")
	fields := reflect.ValueOf(&credentials).Elem()
	for i := range fields.NumField() {
		switch field := fields.Field(i); field.Kind() {
		case reflect.String:
			field.SetString("x")
		default:
			field.SetBytes([]byte("x"))
		}
		note(fields.Type().Field(i).Name)
	}
	for _, trouble = range []error{errors.New("there is no such Secret"), errors.New("it has no entries")} {
		note(trouble.Error())
	}
}
