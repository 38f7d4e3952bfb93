package link

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
)

// wire is what lies between two routers: it passes bytes on, notes those of the one
// that dials, and can hold them back without a word.
type wire struct {
	mu    sync.Mutex
	held  *sync.Cond
	still bool
	bytes []byte // of the first connection
	first net.Conn
}

// startWire listens at, and connects from, addresses of its own.
func startWire(t *testing.T, port uint16, at, from, to netip.Addr) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(at, port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	w := &wire{}
	w.held = sync.NewCond(&w.mu)
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
			far, err := dialer.Dial("tcp", netip.AddrPortFrom(to, port).String())
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			if w.first == nil {
				w.first = near
			}
			w.mu.Unlock()
			go w.pass(near, far)
			go w.pass(far, near)
		}
	}()
	return w
}

func (w *wire) pass(from, to net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		for w.still {
			w.held.Wait()
		}
		if from == w.first {
			w.bytes = append(w.bytes, buffer[:n]...)
		}
		w.mu.Unlock()
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			_, _ = io.Copy(io.Discard, from)
			return
		}
	}
}

func (w *wire) set(still bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.still = still
	w.held.Broadcast()
}

func (w *wire) hold()    { w.set(true) }
func (w *wire) release() { w.set(false) }

func (w *wire) heard() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.bytes)
}
