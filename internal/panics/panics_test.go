package panics

import (
	"errors"
	"strings"
	"testing"
)

func TestCatchReturnsWhatWorkDoes(t *testing.T) {
	want := errors.New("refused")
	if err := Catch(func() error { return want }); err != want {
		t.Errorf("got %v", err)
	}
	if err := Catch(func() error { return nil }); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestAPanicIsAnErrorThatNamesItsPlaceAndQuotesNothing(t *testing.T) {
	for want, work := range map[string]func() error{
		"string":             func() error { panic("password: hunter2") },
		"index out of range": func() error { var none []int; return errors.New(string(rune(none[len(none)]))) },
	} {
		caught, ok := errors.AsType[*Error](Catch(work))
		if !ok || !strings.Contains(caught.Cause, want) || strings.Contains(caught.Cause+caught.Error(), "hunter2") {
			t.Errorf("got %+v, want one with %q", caught, want)
			continue
		}
		if !strings.Contains(caught.Stack, "panics_test.go") {
			t.Errorf("the stack does not name the place:\n%s", caught.Stack)
		}
	}
}

func TestAPanicOfAnotherGoroutineNamesItsFirstPlace(t *testing.T) {
	first := Catch(func() error { panic("first") })
	second := func() (value any) {
		defer func() { value = recover() }()
		Again(nil)
		Again(first)
		return nil
	}()
	if text, _ := second.(string); !strings.Contains(text, "panics_test.go") {
		t.Errorf("panicked with %v", second)
	}
}
