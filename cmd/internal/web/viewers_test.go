package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A page of logs takes megabytes, so it has limits of its own, and leaves those of other pages alone.
func TestAViewerReadsABoundedNumberOfLogs(t *testing.T) {
	v, at := &Viewers{}, &seat{}
	logs := sortOf(httptest.NewRequest(http.MethodGet, "/env/posts.production.main/logs?level=error", nil))
	for range 4 {
		if !v.begin(at, logs) {
			t.Fatal("it is refused below the limit")
		}
	}
	if v.begin(at, logs) || !v.begin(at, sortPage) {
		t.Error("one more is read, or another page is refused")
	}
}
