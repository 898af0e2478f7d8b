package secrets

import (
	"context"
	"testing"
)

// The caller that opens a file may give up, such as when a branch is deleted. Others still need the file.
func TestAnotherCallerOpensWhatTheFirstGaveUp(t *testing.T) {
	cache := NewCache(0)
	first, giveUp := context.WithCancel(t.Context())
	opening, gaveUp := make(chan struct{}), make(chan error)
	go func() {
		_, err := cache.get(first, cacheKey{}, func() (Plain, error) {
			close(opening)
			<-first.Done()
			return Plain{}, first.Err()
		})
		gaveUp <- err
	}()
	<-opening
	opened := make(chan Plain)
	go func() {
		plain, err := cache.get(t.Context(), cacheKey{}, func() (Plain, error) { return Plain{Content: []byte("plain")}, nil })
		if err != nil {
			t.Error(err)
		}
		opened <- plain
	}()
	giveUp()
	if err := <-gaveUp; err == nil {
		t.Error("the caller that gave up gets no error")
	}
	if plain := <-opened; string(plain.Content) != "plain" {
		t.Errorf("the other caller gets %q", plain.Content)
	}
}
