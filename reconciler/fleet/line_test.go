package fleet

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answering returns a line on which each request is answered like this, and how many doubts there are.
func answering(f transport) (l *line, doubts *int) {
	doubts = new(int)
	return &line{next: f, fenced: f, suspect: func() { *doubts++ }}, doubts
}

func send(t *testing.T, l *line, target string) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l.RoundTrip(request)
}

func TestALineThatIsShutSendsNothing(t *testing.T) {
	sent := 0
	l, _ := answering(func(*http.Request) (*http.Response, error) {
		sent++
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	why := errors.New("cluster staging cannot be reached")
	l.shut(why)
	if _, err := send(t, l, "https://there/api"); !errors.Is(err, why) || sent > 0 {
		t.Errorf("%d requests were sent; the error is %v", sent, err)
	}
	if !l.open() || l.open() {
		t.Error("it was not shut exactly once")
	}
	if _, err := send(t, l, "https://there/api"); err != nil || sent != 1 {
		t.Errorf("%d requests were sent; the error is %v", sent, err)
	}
}

func TestWhichAnswersRaiseADoubt(t *testing.T) {
	for status, doubtful := range map[int]bool{200: false, 404: false, 409: false, 429: false, 500: false, 401: true, 502: true, 503: true, 504: true} {
		l, doubts := answering(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: http.NoBody}, nil
		})
		if _, err := send(t, l, "https://there/api"); err != nil || *doubts > 0 != doubtful {
			t.Errorf("%d: %d doubts, %v", status, *doubts, err)
		}
	}
	l, doubts := answering(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
	if _, err := send(t, l, "https://there/api"); err == nil || *doubts != 1 {
		t.Errorf("a broken connection: %d doubts, %v", *doubts, err)
	}
}

func TestALineFollowsNoRedirect(t *testing.T) {
	sent := 0
	l, _ := answering(func(*http.Request) (*http.Response, error) {
		sent++
		return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {"https://elsewhere/"}}, Body: http.NoBody}, nil
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://there/api", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := l.client().Do(request)
	if err != nil || answer.StatusCode != http.StatusFound || sent != 1 {
		t.Errorf("%d requests were sent: %v", sent, err)
	}
}

// client-go retries a refused connection by itself, with pauses that nothing ends. The watches have their own.
func TestAnErrorOfALineIsNotRetriedBelow(t *testing.T) {
	l, _ := answering(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
	_, err := send(t, l, "https://there/api")
	if errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the error is %v", err)
	}
}

// A watch lasts, but the body of any other answer ends with its request.
func TestOnlyWatchesAndLogsLast(t *testing.T) {
	for target, lasting := range map[string]bool{
		"https://there/api/v1/pods": false, "https://there/api/v1/pods?watch=true": true, "https://there/api/v1/pods/a/log?follow=true": true,
		"https://there/api/v1/pods?labelSelector=watch": false,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := lasts(request); got != lasting {
			t.Errorf("%s lasts: %t", target, got)
		}
	}
	ended := false
	l, _ := answering(func(r *http.Request) (*http.Response, error) {
		context := r.Context()
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(reader(func() bool { ended = context.Err() != nil; return ended }))}, nil
	})
	answer, err := send(t, l, "https://there/api")
	if err != nil {
		t.Fatal(err)
	}
	if _, _ = io.ReadAll(answer.Body); ended {
		t.Error("the request ended before its answer was read")
	}
	answer.Body.Close()
	if _, _ = io.ReadAll(answer.Body); !ended {
		t.Error("the request did not end with its answer")
	}
}

// reader is an empty body that looks at its request when it is read.
type reader func() bool

func (r reader) Read([]byte) (int, error) { r(); return 0, io.EOF }
