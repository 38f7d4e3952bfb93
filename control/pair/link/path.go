package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How long things may take.
const (
	beat      = time.Second     // between heartbeats
	silence   = 3 * beat        // after which a peer is believed dead
	handshake = 3 * time.Second // of TLS, and again for the hello

	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// maxHandshakes bounds what strangers can have us do at once, a path.
const maxHandshakes = 8

// unsent bounds what the kernel holds of a connection beyond what is on its way: so a
// short frame does not wait behind a long queue.
const unsent = 128 << 10

// A path keeps one connection up. session, since and err are guarded by Link.mu.
type path struct {
	Path
	link    *Link
	session *session
	since   time.Time
	err     error
}

func (p *path) run(ctx context.Context) {
	attempt := p.listen
	if p.link.Name < p.link.Peer {
		attempt = p.dial
	}
	for wait := firstRetry; ctx.Err() == nil; wait = min(2*wait, lastRetry) {
		began := time.Now()
		if err := attempt(ctx); err != nil {
			p.link.failed(p, err)
		}
		if time.Since(began) > lastRetry {
			wait = firstRetry // it was up
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// dial makes one connection, and serves it until it ends.
func (p *path) dial(ctx context.Context) error {
	dialer := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: p.Own.AsSlice(), Zone: p.Own.Zone()},
		Timeout:   handshake,
		KeepAlive: -1, // heartbeats do it
		Control:   func(_, _ string, c syscall.RawConn) error { return setOptions(c) },
	}
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(p.Peer, p.link.Port).String())
	if err != nil {
		return err
	}
	return p.serve(ctx, tls.Client(patient{conn}, p.link.tls))
}

// listen accepts connections until it cannot any more.
func (p *path) listen(ctx context.Context) error {
	config := net.ListenConfig{KeepAlive: -1}
	listener, err := config.Listen(ctx, "tcp", netip.AddrPortFrom(p.Own, p.link.Port).String())
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	defer listener.Close()
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	room := make(chan struct{}, maxHandshakes)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		if err := p.admit(conn, room); err != nil {
			conn.Close()
			p.link.tell(Stranger, p, remoteOf(conn), err)
			continue
		}
		serving.Go(func() {
			done := sync.OnceFunc(func() { <-room })
			defer done()
			if err := p.serve(ctx, tls.Server(patient{conn}, p.link.tls), done); err != nil {
				p.link.failed(p, err)
			}
		})
	}
}

// admit lets nobody but the peer's address in, and takes a place in room.
func (p *path) admit(conn net.Conn, room chan struct{}) error {
	// The zone is that of the listener: it is bound to it.
	if remoteOf(conn).Addr().WithZone("") != p.Peer.WithZone("") {
		return fmt.Errorf("a connection from elsewhere than %s's address %s", p.link.Peer, p.Peer)
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = setOptions(raw)
	}
	if err != nil {
		return err
	}
	select {
	case room <- struct{}{}:
		return nil
	default:
		return fmt.Errorf("too many connections at once: %d are being examined", maxHandshakes)
	}
}

// serve does all that is to be done with a connection; greeted are called when the
// other end is known to be the peer.
func (p *path) serve(ctx context.Context, conn *tls.Conn, greeted ...func()) error {
	s := &session{path: p, conn: conn, remote: remoteOf(conn)}
	defer s.close()
	defer context.AfterFunc(ctx, s.close)()
	if err := s.begin(ctx); err != nil {
		kind := Stranger
		if errors.As(err, &ProtocolError{}) {
			kind = Refused
		}
		if ctx.Err() == nil {
			p.link.tell(kind, p, s.remote, err)
		}
		return err
	}
	for _, f := range greeted {
		f()
	}
	return s.run()
}

// remoteOf is the other end's address, an IPv4 one as such.
func remoteOf(conn net.Conn) netip.AddrPort {
	address, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	remote := address.AddrPort()
	return netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
}

// setOptions: an unacknowledged byte ends the connection when silence would.
func setOptions(c syscall.RawConn) (err error) {
	control := c.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds())),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent))
	})
	return errors.Join(control, err)
}

// patient is a connection each read and write of which may last as long as silence.
type patient struct{ net.Conn }

func (c patient) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c patient) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
