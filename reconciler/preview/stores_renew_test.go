package preview

import (
	"context"
	"fmt"
	"testing"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/source"
)

func TestAStoreThatHasGrownIsRenewed(t *testing.T) {
	server := gittest.NewServer(t)
	code := server.Repository("posts")
	stores := NewStores(StoresConfig{Dir: t.TempDir(), Credentials: func(context.Context, *v1alpha1.Repository) (source.Credentials, error) {
		return source.Credentials{}, nil
	}})
	repo := repository(func(r *v1alpha1.Repository) { r.Spec.URL = code.URL() })
	store, _, err := stores.For(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	var commits []string
	for i := range renewPacks {
		if renewed, err := stores.renew(t.Context(), repo.Name, commits); renewed || err != nil {
			t.Fatalf("after %d fetches: renewed %t, %v", i, renewed, err)
		}
		commits = append(commits, code.Commit("main", map[string]string{"file": fmt.Sprint(i)}, "change"))
		if err := store.Fetch(t.Context(), commits[i]); err != nil {
			t.Fatal(err)
		}
	}
	pinned, head := commits[3], commits[len(commits)-1]
	if renewed, err := stores.renew(t.Context(), repo.Name, []string{pinned, head, commit("e")}); !renewed || err != nil {
		t.Fatalf("renewed %t, %v", renewed, err)
	}
	server.Forget()
	for _, kept := range []string{pinned, head} {
		if _, err := stores.Snapshot(t.Context(), repo.Name, kept); err != nil {
			t.Errorf("the commit %s was not kept: %v", kept, err)
		}
	}
	if n := server.Count(); n > 0 {
		t.Errorf("%d requests were made for what was to be kept", n)
	}
	if err := stores.Drop(repo.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := stores.Snapshot(t.Context(), repo.Name, head); err == nil || stores.Has(repo.Name) {
		t.Error("a dropped store is still there")
	}
}
