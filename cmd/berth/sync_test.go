package main

import (
	"testing"

	"berth.dev/berth/api/v1alpha1"
)

func TestAListingThatSomebodyElseAskedForIsOne(t *testing.T) {
	for _, test := range []struct {
		name, requested, handled string
		want                     bool
	}{
		{"asked", "mine", "", false},
		{"asked, after others", "mine", "before", false},
		{"listed", "mine", "mine", true},
		{"listed, and asked again by a webhook", "hook-1", "mine", true},
		{"a webhook took its place", "hook-1", "before", false},
		{"listed for that webhook", "hook-1", "hook-1", true},
		{"the request was taken back", "", "", false},
	} {
		repo := &v1alpha1.Repository{}
		repo.Annotations = map[string]string{v1alpha1.AnnotationRequested: test.requested}
		repo.Status.HandledRequest = test.handled
		if got := heeded(repo, "mine"); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}
