package agent

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// crowd limits the number of open connections of a server. A new connection beyond the limit closes the oldest one, idle
// ones first. So slow senders displace each other, and a delivery of a few milliseconds always finds room. netutil's
// LimitListener would let new connections wait for the slow ones instead.
type crowd struct {
	most int

	mu      sync.Mutex
	waiting list.List // connections in use, oldest first
	idle    list.List // connections that are kept for another request
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
	oldest := c.idle.Front()
	if oldest == nil {
		oldest = c.waiting.Front()
	}
	displaced, ok := oldest.Value.(net.Conn)
	if !ok {
		return nil
	}
	c.remove(displaced)
	return displaced
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
