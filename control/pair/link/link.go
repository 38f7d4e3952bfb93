// Package link is the line between the two routers of a pair: one TLS connection per
// heartbeat link, each from a router's own address to the other's. The first healthy
// one carries the data of both directions' users; the others stand by.
//
// The router whose name sorts first dials, the other listens. Both prove their keys
// (TLS 1.3, pins), say hello (protocol, name, software), and then send frames: a kind,
// a length, a body. Whoever else connects changes nothing, costs a handshake that is
// cut short, and is reported.
//
// The link promises authenticity and order within a connection, not delivery: what
// was on its way when a connection died is lost, and the next frame may come by
// another one. Its users number what they send.
package link

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A Path is a heartbeat link: its leg's name, our own address and the other router's.
// Link-local ones have our interface as their zone.
type Path struct {
	Name      string
	Own, Peer netip.Addr
}

// Config of New.
type Config struct {
	Name, Peer string // of the routers; they must differ
	Key        ed25519.PrivateKey
	Pins       []Pin  // of the peer's keys; several while one is being replaced
	Software   string // our version, told to the peer
	Port       uint16
	Paths      []Path // in the order of preference
	// Tell hears what happens, from several goroutines; it must not block, nor call
	// the Link but for State. May be nil.
	Tell func(Event)
}

// ErrDown: no connection to the other router.
var ErrDown = errors.New("there is no connection to the other router")

// A Link does it while Run runs. Its methods are safe for concurrent use, but for
// Handle.
type Link struct {
	Config
	tls      *tls.Config
	handlers [256]handler
	strange  atomic.Uint64

	oldest, newest int // protocols that we speak

	mu           sync.Mutex
	paths        []*path
	carrier      *session
	carrierSince time.Time
}

type handler struct {
	mu      *sync.Mutex // while a carrier changes, two connections may have frames
	receive func(body []byte)
}

// New checks the configuration. Nothing is done before Run.
func New(config Config) (*Link, error) {
	switch {
	case config.Name == "" || config.Peer == "" || config.Name == config.Peer:
		return nil, fmt.Errorf("the pair's routers %q and %q need two names", config.Name, config.Peer)
	case len(config.Pins) == 0:
		return nil, fmt.Errorf("no key of %s is known: write the pin that lbctl keygen printed there to routers[].key", config.Peer)
	case len(config.Key) != ed25519.PrivateKeySize:
		return nil, errors.New("this router has no key for the pair's link")
	case len(config.Paths) == 0:
		return nil, errors.New("the pair has no heartbeat link")
	}
	if config.Tell == nil {
		config.Tell = func(Event) {}
	}
	l := &Link{Config: config, oldest: oldestProtocol, newest: protocol}
	var err error
	if l.tls, err = tlsConfig(config.Key, config.Peer, config.Pins); err != nil {
		return nil, err
	}
	for _, p := range config.Paths {
		if !p.Own.IsValid() || !p.Peer.IsValid() || p.Own == p.Peer {
			return nil, fmt.Errorf("the heartbeat link %s needs an address of each router, not %q and %q", p.Name, p.Own, p.Peer)
		}
		l.paths = append(l.paths, &path{Path: p, link: l})
	}
	return l, nil
}

// Handle has the frames of a kind given to a function, one after the other; before
// Run. The body is valid until it returns. While it runs, the connection's other frames
// wait, and after the kernel's buffers the sender does: that is the flow control. Kinds
// that nobody handles are skipped.
func (l *Link) Handle(kind Kind, receive func(body []byte)) {
	if kind <= heartbeat || kind >= kinds {
		panic(fmt.Sprintf("link: kind %d is not for users", kind))
	}
	l.handlers[kind] = handler{new(sync.Mutex), receive}
}

// Run keeps the connections up until the context ends, and returns when all of them
// are closed and no handler runs.
func (l *Link) Run(ctx context.Context) {
	var paths sync.WaitGroup
	for _, p := range l.paths {
		paths.Go(func() { p.run(ctx) })
	}
	paths.Wait()
}

// Send writes a frame to the connection that carries data, and returns when the kernel
// has it; that it arrived is for the user's own protocol to find out. With an error
// (ErrDown, or that of a connection which is given up now) it may be lost. It waits for
// its turn and for room, for no longer than a silent peer is believed: 3 s.
func (l *Link) Send(kind Kind, body []byte) error {
	if len(body) > kind.Limit() {
		return fmt.Errorf("send a frame of kind %d: %d bytes are over its limit, %d", kind, len(body), kind.Limit())
	}
	l.mu.Lock()
	s := l.carrier
	l.mu.Unlock()
	if s == nil {
		return ErrDown
	}
	return s.send(kind, body)
}

// up takes a connection that has said hello; the path's old one is closed.
func (l *Link) up(s *session) {
	l.mu.Lock()
	old := s.path.session
	s.path.session, s.path.since, s.path.err = s, time.Now(), nil
	changed := l.elect()
	l.mu.Unlock()
	if old != nil {
		old.close()
	} else {
		l.tell(Up, s.path, s.remote, nil)
	}
	if changed { // to this one: nothing else has come up
		l.tell(Carrier, s.path, s.remote, nil)
	}
}

// down takes note that a connection has ended.
func (l *Link) down(s *session, err error) {
	l.mu.Lock()
	if s.path.session != s {
		l.mu.Unlock()
		return // replaced
	}
	s.path.session, s.path.since, s.path.err = nil, time.Now(), err
	changed := l.elect()
	carrier := l.carrier
	l.mu.Unlock()
	l.tell(Down, s.path, s.remote, err)
	switch {
	case changed && carrier != nil:
		l.tell(Carrier, carrier.path, carrier.remote, nil)
	case changed:
		l.tell(Carrier, nil, netip.AddrPort{}, err)
	}
}

// elect chooses the connection that carries data, and says if it is another one.
func (l *Link) elect() bool {
	before := l.carrier
	l.carrier = nil
	for _, p := range l.paths {
		if l.carrier = p.session; l.carrier != nil {
			break
		}
	}
	if l.carrier == before {
		return false
	}
	l.carrierSince = time.Now()
	return true
}

// failed keeps why a path has no connection.
func (l *Link) failed(p *path, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.session == nil {
		p.err = err
	}
}
