package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A lane is one subject's own lab:
//
//	generator          router              sink
//	g0 ------------ r0        r1 ------------ s0
//	clients, gateway   vip                 reals
//
// Every subject has a lane of its own, so that all of them are ready at any
// time and their windows can be interleaved without a program being detached.
type lane struct {
	name                    string
	generator, router, sink *namespace
	g0, r0, r1, s0          device
	attached                []link.Link
}

// device is an end of a veth.
type device struct {
	ns    *namespace
	name  string
	index int
	mac   net.HardwareAddr
}

// newLane makes a lane with real servers' addresses 0..reals-1 of both
// families; the caller closes it. number makes the names unique in the process.
func newLane(number, reals int) (*lane, error) {
	l := &lane{name: fmt.Sprintf("tpb%d-%d", os.Getpid(), number)}
	if err := l.build(reals); err != nil {
		return nil, errors.Join(fmt.Errorf("make lab %s: %w", l.name, err), l.close())
	}
	return l, nil
}

func (l *lane) build(reals int) error {
	for _, n := range []struct {
		to   **namespace
		name string
	}{{&l.generator, "g"}, {&l.router, "r"}, {&l.sink, "s"}} {
		var err error
		if *n.to, err = newNamespace(l.name + n.name); err != nil {
			return err
		}
	}
	var err error
	if l.r0, l.g0, err = veth(l.router, "r0", l.generator, "g0"); err != nil {
		return err
	}
	if l.r1, l.s0, err = veth(l.router, "r1", l.sink, "s0"); err != nil {
		return err
	}
	if err := l.sysctls(); err != nil {
		return err
	}
	for _, ipv6 := range []bool{false, true} {
		if err := l.address(networkOf(ipv6), reals); err != nil {
			return err
		}
	}
	return nil
}

// veth makes a pair with a queue per CPU, so that two generators do not meet in
// one ring.
func veth(a *namespace, aName string, b *namespace, bName string) (device, device, error) {
	queues := runtime.NumCPU()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumTxQueues, attrs.NumRxQueues = aName, queues, queues
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerNamespace = bName, netlink.NsFd(b.fd)
	pair.PeerNumTxQueues, pair.PeerNumRxQueues = uint32(queues), uint32(queues)
	if err := a.nl.LinkAdd(pair); err != nil {
		return device{}, device{}, fmt.Errorf("make veth %s-%s: %w", aName, bName, err)
	}
	x, err := bringUp(a, aName)
	if err != nil {
		return device{}, device{}, err
	}
	y, err := bringUp(b, bName)
	return x, y, err
}

func bringUp(n *namespace, name string) (device, error) {
	l, err := n.nl.LinkByName(name)
	if err == nil {
		err = n.nl.LinkSetUp(l)
	}
	if err != nil {
		return device{}, fmt.Errorf("set %s up: %w", name, err)
	}
	return device{ns: n, name: name, index: l.Attrs().Index, mac: l.Attrs().HardwareAddr}, nil
}

// sysctls makes the router one. rp_filter off: the kernel's own paths would
// look every client up once more.
func (l *lane) sysctls() error {
	for _, s := range []string{
		"net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1",
		"net/ipv4/conf/all/rp_filter=0", "net/ipv4/conf/r0/rp_filter=0", "net/ipv4/conf/r1/rp_filter=0",
		"net/ipv4/conf/all/send_redirects=0",
	} {
		name, value, _ := strings.Cut(s, "=")
		if err := l.router.sysctl(name, value); err != nil {
			return err
		}
	}
	return nil
}

// address gives every device the addresses of one family, the router a default
// route, and permanent neighbours: no frame of the bench ever waits for one.
func (l *lane) address(n network, reals int) error {
	bits := n.router.Bits()
	err := errors.Join(
		addAddress(l.r0, n.router),
		addAddress(l.r1, n.inside()),
		addAddress(l.g0, netip.PrefixFrom(n.gateway, bits)),
		addNeighbour(l.r0, n.gateway, l.g0.mac),
		addDefault(l.r0, n.gateway),
	)
	for i := range reals {
		err = errors.Join(err,
			addAddress(l.s0, netip.PrefixFrom(n.real(i), bits)),
			addNeighbour(l.r1, n.real(i), l.s0.mac))
	}
	return errors.Join(err, addDefault(l.s0, n.inside().Addr()))
}

func addAddress(d device, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := d.ns.nl.AddrAdd(linkOf(d), a); err != nil {
		return fmt.Errorf("add %s to %s: %w", p, d.name, err)
	}
	return nil
}

func addNeighbour(d device, a netip.Addr, mac net.HardwareAddr) error {
	n := &netlink.Neigh{LinkIndex: d.index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac}
	if err := d.ns.nl.NeighSet(n); err != nil {
		return fmt.Errorf("add neighbour %s to %s: %w", a, d.name, err)
	}
	return nil
}

func addDefault(d device, via netip.Addr) error {
	if err := d.ns.nl.RouteAdd(&netlink.Route{LinkIndex: d.index, Gw: via.AsSlice()}); err != nil {
		return fmt.Errorf("add default route via %s: %w", via, err)
	}
	return nil
}

func linkOf(d device) netlink.Link {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = d.name, d.index
	return &netlink.Device{LinkAttrs: attrs}
}

// attach runs p on d in the driver until the lane is closed. The link is kept:
// one that is garbage detaches its program.
func (l *lane) attach(d device, p *ebpf.Program) error {
	return d.ns.do(func() error {
		x, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: d.index, Flags: link.XDPDriverMode})
		if err != nil {
			return fmt.Errorf("attach to %s: %w", d.name, err)
		}
		l.attached = append(l.attached, x)
		return nil
	})
}

func (l *lane) close() error {
	var errs []error
	for _, x := range l.attached {
		errs = append(errs, x.Close())
	}
	for _, n := range []*namespace{l.generator, l.router, l.sink} {
		if n != nil {
			errs = append(errs, n.close())
		}
	}
	return errors.Join(errs...)
}
