package failover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// discardPort is where the servers take packets and answer none (RFC 863).
const discardPort = 9

// Flooded has a sender on each core, and so on the routers' ones, send as fast as it
// can through the pair: one that needs adverts every 100 ms, and gets late ones.
func Flooded(lasting time.Duration) Scenario {
	return Scenario{
		Name: fmt.Sprintf("flood on all cores, %s", lasting), Kept: "connections",
		May:   "packets, and with them time, where the cores do not suffice",
		Why:   "the election has a thread of its own, and hears before it believes in silence",
		Event: func(r *Rig, _ *lab.Router) error { return r.flood(lasting) }, Stays: true,
	}
}

// flood lasts so long, and is an error if the role changed meanwhile, even back again.
func (r *Rig) flood(lasting time.Duration) error {
	before, err := r.adverts()
	if err != nil {
		return err
	}
	ctx, end := context.WithTimeout(context.Background(), lasting)
	defer end()
	sent, err := r.sendAll(ctx, netip.AddrPortFrom(r.Vips()[0].Addr(), discardPort))
	if err != nil {
		return err
	}
	after, err := r.adverts()
	if err != nil {
		return err
	}
	r.note = fmt.Sprintf("%.0f packets/s were sent; %d of %d adverts were more than half an interval late",
		float64(sent)/lasting.Seconds(), after.Late-before.Late, after.Sent-before.Sent)
	if changes := after.Transitions - before.Transitions; changes > 0 {
		return fmt.Errorf("expected no change of the role under the flood, there were %d (%s)", changes, r.note)
	}
	return nil
}

// adverts are what both routers have counted.
func (r *Rig) adverts() (sum struct{ Sent, Late, Transitions uint64 }, err error) {
	for _, router := range r.Routers() {
		status, err := router.PairStatus()
		if err != nil {
			return sum, err
		}
		sum.Sent += status.Adverts.Sent
		sum.Late += status.Adverts.Late
		sum.Transitions += status.Adverts.Transitions
	}
	return sum, nil
}

// sendAll sends from each core, and counts.
func (r *Rig) sendAll(ctx context.Context, to netip.AddrPort) (uint64, error) {
	var running sync.WaitGroup
	var sent atomic.Uint64
	errs := make([]error, runtime.NumCPU())
	for core := range errs {
		running.Go(func() {
			errs[core] = r.In(r.clients[core%len(r.clients)], func() error { return send(ctx, core, to, &sent) })
		})
	}
	running.Wait()
	return sent.Load(), errors.Join(errs...)
}

// send keeps one core busy; the thread is the caller's own.
func send(ctx context.Context, core int, to netip.AddrPort, sent *atomic.Uint64) error {
	var only unix.CPUSet
	only.Set(core)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("stay on core %d: %w", core, err)
	}
	c, err := net.ListenUDP("udp4", nil) // not connected: it does not hear that nobody wants this
	if err != nil {
		return err
	}
	defer c.Close()
	batch := make([]ipv4.Message, 64)
	for i := range batch {
		batch[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 22)}, Addr: net.UDPAddrFromAddrPort(to)}
	}
	for conn := ipv4.NewPacketConn(c); ctx.Err() == nil; {
		n, err := conn.WriteBatch(batch, 0)
		sent.Add(uint64(max(n, 0)))
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
	return nil
}
