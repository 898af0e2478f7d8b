package agent

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// crowd limits the number of open connections of a server. A new connection beyond the limit closes the oldest one, idle
// ones first. So slow senders displace each other, and a delivery of a few milliseconds always finds room. netutil's
// LimitListener would let new connections wait for the slow ones instead. Event streams, which only viewers get, are closed last,
// as long as they take at most half of the room.
type crowd struct {
	most int

	mu      sync.Mutex
	waiting list.List // connections in use, oldest first
	idle    list.List // connections that are kept for another request
	streams list.List // connections with an event stream
	places  map[net.Conn]place
}

// place is the position of a connection in its list.
type place struct {
	in      *list.List
	element *list.Element
}

func newCrowd(most int) *crowd {
	return &crowd{most: most, places: map[net.Conn]place{}}
}

// watch tracks a connection's state, as the ConnState of an http.Server.
func (c *crowd) watch(connection net.Conn, state http.ConnState) {
	if displaced := c.note(connection, state); displaced != nil {
		_ = displaced.Close() // its server sees that, and forgets it
	}
}

// note returns the connection to close, if there is one.
func (c *crowd) note(connection net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.put(connection, &c.waiting)
	case http.StateIdle:
		c.put(connection, &c.idle)
	case http.StateActive:
		if c.places[connection].in == &c.idle {
			c.put(connection, &c.waiting)
		}
	default:
		c.remove(connection)
	}
	if len(c.places) <= c.most {
		return nil
	}
	displaced, ok := c.first().Value.(net.Conn)
	if !ok {
		return nil
	}
	c.remove(displaced)
	return displaced
}

// first returns the connection to close first. c.mu is held.
func (c *crowd) first() *list.Element {
	switch {
	case c.idle.Len() > 0:
		return c.idle.Front()
	case c.waiting.Len() == 0, c.streams.Len() > c.most/2:
		return c.streams.Front()
	}
	return c.waiting.Front()
}

// connectionKey is the key of a request's connection.
type connectionKey struct{}

// remember puts the connection into the contexts of its requests, as the ConnContext of an http.Server.
func remember(ctx context.Context, connection net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, connection)
}

// serve returns a handler that tells which connections have an event stream. It needs remember.
func (c *crowd) serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if connection, ok := r.Context().Value(connectionKey{}).(net.Conn); ok {
			w = &streamWriter{ResponseWriter: w, began: func() { c.stream(connection) }}
		}
		next.ServeHTTP(w, r)
	})
}

// stream notes that a connection has an event stream.
func (c *crowd) stream(connection net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.places[connection]; found {
		c.put(connection, &c.streams)
	}
}

// streamWriter calls began when an answer turns out to be an event stream.
type streamWriter struct {
	http.ResponseWriter
	began  func()
	writes bool
}

// Unwrap is for http.ResponseController.
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write writes a part of the answer.
func (w *streamWriter) Write(part []byte) (int, error) {
	if !w.writes {
		w.writes = true
		if w.Header().Get("Content-Type") == "text/event-stream" {
			w.began()
		}
	}
	return w.ResponseWriter.Write(part)
}

func (c *crowd) put(connection net.Conn, in *list.List) {
	c.remove(connection)
	c.places[connection] = place{in: in, element: in.PushBack(connection)}
}

func (c *crowd) remove(connection net.Conn) {
	if at, found := c.places[connection]; found {
		at.in.Remove(at.element)
		delete(c.places, connection)
	}
}
