package api

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// A Server answers on a listener, each request on a connection of its own: nobody is
// hung up on for having kept one.
type Server struct {
	http.Server
	listener    net.Listener
	accepted    chan struct{} // closed when no connection is accepted any more
	connections sync.WaitGroup
	endStreams  func()
}

// Serve answers until Shutdown or Close, or until the listener fails.
func (s *Server) Serve() error {
	defer close(s.accepted)
	return s.Server.Serve(s.listener)
}

// Shutdown closes the listener, ends streams, and waits until everybody who was
// accepted has an answer; with the context's error, not all have. It may be called
// again, to wait for longer; Close is for those left. Serve must have been called.
//
// http.Server's own hangs up on a connection whose first request it reads after its
// call (conn.serve looks at shuttingDown behind readRequest): the caller cannot know
// whether that request was executed.
func (s *Server) Shutdown(ctx context.Context) error {
	_ = s.listener.Close()
	<-s.accepted
	s.endStreams()
	answered := make(chan struct{})
	go func() {
		s.connections.Wait()
		close(answered)
	}()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// count follows a connection.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew: // told by the loop that accepts
		s.connections.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.connections.Done()
	}
}
