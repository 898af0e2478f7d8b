package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// profile takes a CPU profile until the caller calls stop, and then a profile of allocations.
func (b *bench) profile(name string) (stop func()) {
	if b.profiles == "" {
		return func() {}
	}
	var taken sync.WaitGroup
	taken.Go(func() { b.fetch(fmt.Sprintf("profile?seconds=%d", int(b.profileTime/time.Second)), name+".cpu") })
	return func() {
		b.fetch("allocs", name+".allocs")
		taken.Wait()
	}
}

// heap takes a profile of live memory.
func (b *bench) heap(name string) {
	if b.profiles != "" {
		b.fetch("heap?gc=1", name+".heap")
	}
}

func (b *bench) fetch(path, name string) {
	answer, err := http.Get("http://" + b.profileAddress + "/debug/pprof/" + path)
	if err != nil {
		b.t.Fatalf("cannot take a profile: %v", err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil {
		err = os.MkdirAll(b.profiles, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(b.profiles, name+".pprof"), content, 0o644)
	}
	if err != nil {
		b.t.Fatalf("cannot keep a profile: %v", err)
	}
}
