// Package panics keeps a panic in one piece of work from ending the program. Goroutines that read foreign content need it: in
// Go, a panic in any goroutine ends them all.
package panics

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Error is the error of work that panicked.
type Error struct {
	// Cause is the type of the panic's value, or the text of the Go runtime. Other texts may quote an object.
	Cause string
	// Stack shows where the work panicked.
	Stack string
}

// Error returns a text for users. The caller of [Catch] logs the cause and the stack.
func (e *Error) Error() string { return "a mistake in Berth; the agent's log says where: report it" }

// Catch calls work and returns its error, or an [*Error] if it panics. Locks that work holds without a deferred unlock stay
// locked.
func Catch(work func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &Error{Cause: cause(value), Stack: string(debug.Stack())}
		}
	}()
	return work()
}

func cause(value any) string {
	if own, ok := value.(runtime.Error); ok {
		return own.Error()
	}
	return fmt.Sprintf("%T", value)
}

// Again panics in this goroutine with an error that Catch returned in another one; nil: it does nothing. The new value names
// the first place.
func Again(err error) {
	if err == nil {
		return
	}
	if caught, ok := err.(*Error); ok { //nolint:errorlint // Catch does not wrap it
		panic(caught.Cause + "\n" + caught.Stack)
	}
	panic(err)
}
