package api

import (
	"context"
	"iter"
	"testing"
	"time"
)

// A follower is a Controller with an event every 20 ms, until the context ends.
type follower struct {
	fake
	left chan struct{} // closed when nobody reads any more
}

func (f *follower) Events(ctx context.Context, _ uint64, _ bool) (iter.Seq[Event], error) {
	return func(yield func(Event) bool) {
		defer close(f.left)
		for n := uint64(1); yield(Event{Sequence: n}); n++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}, nil
}

// A stream outlives the time that a request may take to arrive, and ends with its
// reader or with the server.
func TestFollowing(t *testing.T) {
	for name, end := range map[string]func(cancel func(), server *Server){
		"the reader goes":       func(cancel func(), _ *Server) { cancel() },
		"the server shuts down": func(_ func(), server *Server) { go server.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			f := &follower{left: make(chan struct{})}
			var server *Server
			client := NewClient(serve(t, f, func(s *Server) { server = s; s.ReadTimeout = 100 * time.Millisecond }))
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			begun, ending := time.Now(), false
			for event, err := range client.Events(ctx, 0, true) {
				if ending {
					continue
				}
				if err != nil {
					t.Fatalf("after %s: %v", time.Since(begun), err)
				}
				if event.Sequence == 20 {
					ending = true
					end(cancel, server)
				}
			}
			if ctx.Err() == context.DeadlineExceeded {
				t.Fatal("it goes on")
			}
			if !ending {
				t.Fatalf("it ended by itself after %s", time.Since(begun))
			}
			select {
			case <-f.left:
			case <-time.After(10 * time.Second):
				t.Fatal("the events are told to nobody")
			}
		})
	}
}
