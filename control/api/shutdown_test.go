package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
)

// slow is a Controller whose status takes until it is let go.
type slow struct {
	fake
	asked, answer chan struct{}
}

func (s *slow) Status(ctx context.Context) (Status, error) {
	close(s.asked)
	<-s.answer
	return s.fake.Status(ctx)
}

// Who was accepted before a shutdown is answered, even if the request comes after.
func TestShutdownAnswersWhoWasAccepted(t *testing.T) {
	f := &slow{asked: make(chan struct{}), answer: make(chan struct{})}
	var server *Server
	accepted := make(chan struct{})
	socket := serve(t, f, func(s *Server) {
		server = s
		count := s.ConnState
		s.ConnState = func(c net.Conn, state http.ConnState) {
			count(c, state)
			if state == http.StateNew {
				accepted <- struct{}{}
			}
		}
	})
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-accepted
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Shutdown(expired); !errors.Is(err, context.Canceled) {
		t.Errorf("with nobody answered: %v", err)
	}
	if late, err := net.Dial("unix", socket); err == nil {
		late.Close()
		t.Error("somebody is accepted after")
	}
	if _, err := conn.Write([]byte("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && (response.StatusCode != http.StatusOK || !response.Close) {
			err = fmt.Errorf("%s, and the connection goes on: %v", response.Status, !response.Close)
		}
		answered <- err
	}()
	select {
	case <-f.asked:
	case err := <-answered:
		t.Fatalf("hung up on: %v", err)
	}
	if err := server.Shutdown(expired); !errors.Is(err, context.Canceled) {
		t.Errorf("with a request under way: %v", err)
	}
	close(f.answer)
	if err := errors.Join(<-answered, server.Shutdown(t.Context())); err != nil {
		t.Error(err)
	}
}
