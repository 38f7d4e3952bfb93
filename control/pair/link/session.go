package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// A session is one connection, from the TLS handshake to its end.
type session struct {
	path     *path
	conn     *tls.Conn
	remote   netip.AddrPort
	peer     greeting
	protocol int
	frames   decoder

	mu  sync.Mutex // of writing
	out []byte     // used again
}

// begin finds out that the other end is the peer: its key, then its hello. Whoever it
// is, it has no longer than a handshake may take.
func (s *session) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	defer context.AfterFunc(ctx, s.close)()
	err := s.greet(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("not known for the peer after %s", handshake)
	}
	return err
}

func (s *session) greet(ctx context.Context) error {
	if err := s.conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	l := s.path.link
	ours := greeting{Protocol: l.newest, Oldest: l.oldest, Name: l.Name, Software: l.Software}
	body, err := json.Marshal(ours)
	if err != nil {
		return err
	}
	if err := s.send(hello, body); err != nil {
		return err
	}
	s.frames.r = bufio.NewReaderSize(s.conn, 64<<10)
	kind, body, err := s.frames.next()
	if err != nil {
		// In TLS 1.3 a client hears only now that the server refused its key.
		return fmt.Errorf("no hello (does %s know our key, %s?): %w", l.Peer, pinOf(l.Key), err)
	}
	if s.peer, err = readGreeting(kind, body); err != nil {
		return err
	}
	if s.peer.Name != l.Peer {
		return fmt.Errorf("the router with %s's key calls itself %q", l.Peer, s.peer.Name)
	}
	s.protocol, err = agree(ours, s.peer)
	return err
}

// run serves the connection until it ends.
func (s *session) run() error {
	l := s.path.link
	l.up(s)
	ended := make(chan struct{})
	var beats sync.WaitGroup
	beats.Go(func() { s.beat(ended) })
	err := s.receive()
	close(ended)
	s.close() // or a heartbeat could wait for room
	beats.Wait()
	l.down(s, err)
	return err
}

func (s *session) receive() error {
	for {
		kind, body, err := s.frames.next()
		if err != nil {
			return err
		}
		if h := &s.path.link.handlers[kind]; h.receive != nil {
			h.mu.Lock()
			h.receive(body)
			h.mu.Unlock()
		}
	}
}

// beat says every second that we live.
func (s *session) beat(ended <-chan struct{}) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticker.C:
			_ = s.send(heartbeat, nil)
		}
	}
}

// send writes one frame. A connection that does not take it has ended.
func (s *session) send(kind Kind, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = appendFrame(s.out[:0], kind, body)
	if cap(s.out) > 2*kept {
		defer func() { s.out = nil }()
	}
	if _, err := s.conn.Write(s.out); err != nil {
		s.close()
		return fmt.Errorf("send to %s: %w", s.remote, err)
	}
	return nil
}

// close ends the connection; whoever reads or writes sees that. Any number of times.
func (s *session) close() { _ = s.conn.NetConn().Close() }
