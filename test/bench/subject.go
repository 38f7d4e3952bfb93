package main

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

// A subject is what forwards on a lane's router.
type subject interface {
	// start makes the router forward the scenario's packets; it returns when the
	// first may come. After a failed start close is called as well.
	start(ctx context.Context, l *lane, s scenario) error
	// stateful subjects translate, and have a flow table to fill first.
	stateful() bool
	// lookups counts look-ups in the flow table so far; nil if nobody counts.
	lookups(ctx context.Context) (*lookups, error)
	close() error
}

// A lookups is what a flow table was asked.
type lookups struct {
	Hits, Misses uint64
}

func (l lookups) since(before lookups) lookups {
	return lookups{l.Hits - before.Hits, l.Misses - before.Misses}
}

// newSubject returns the subject that a path names.
func newSubject(name subjectName, tools *tools) subject {
	switch name {
	case tarpon:
		return &daemon{tools: tools}
	case tarponFIB:
		return &daemon{tools: tools, askFIB: true}
	case nftables:
		return &kernelNAT{}
	case fib:
		return &bare{route: true}
	}
	return &bare{}
}

// destination is what the clients of a subject send to: the vip; the plain
// router has none, they know its real.
func (n subjectName) destination(k kind) netip.AddrPort {
	net := networkOf(k.IPv6)
	if n == fib {
		return netip.AddrPortFrom(net.real(0), realPort)
	}
	return netip.AddrPortFrom(net.vip, vipPort)
}

// hops that the subject takes off the hop limit.
func (n subjectName) hops() int {
	if n == redirect {
		return 0
	}
	return 1
}

// peer returns the check of a frame's other end after the subject.
func (n subjectName) peer(k kind, d direction) func(netip.AddrPort) error {
	net := networkOf(k.IPv6)
	translates := n != redirect && n != fib
	if d == inbound && !translates || d == reply && translates {
		want := n.destination(k)
		return func(got netip.AddrPort) error {
			if translates && net.realIndex(got.Addr()) >= 0 {
				return fmt.Errorf("the other end is the real %s itself, want %s: a reply passed as no flow's", got, want)
			}
			if got != want {
				return fmt.Errorf("the other end is %s, want %s", got, want)
			}
			return nil
		}
	}
	return func(got netip.AddrPort) error {
		if i := net.realIndex(got.Addr()); i < 0 || i >= scenarioReals || got.Port() != realPort {
			return fmt.Errorf("the other end is %s, which is no real", got)
		}
		return nil
	}
}

// bare is a program of the bench's own without any state: the bare redirect,
// or with route the plain router.
type bare struct {
	route    bool
	programs []*ebpf.Program
}

func (b *bare) start(_ context.Context, l *lane, s scenario) error {
	for _, way := range []struct{ from, to device }{{l.r0, l.r1}, {l.r1, l.r0}} {
		p, err := b.program(way.to, s.Kind)
		if err != nil {
			return err
		}
		b.programs = append(b.programs, p)
		if err := l.attach(way.from, p); err != nil {
			return err
		}
	}
	return nil
}

func (b *bare) program(to device, k kind) (*ebpf.Program, error) {
	if !b.route {
		c, err := loadBenchPart(map[string]any{benchVarOutIfindex: uint32(to.index)}, benchProgRedirect, nil)
		if err != nil {
			return nil, fmt.Errorf("load redirect: %w", err)
		}
		defer c.Close()
		return c.DetachProgram(benchProgRedirect), nil
	}
	var objects fibPrograms
	if err := loadFibObjects(&objects, nil); err != nil {
		return nil, fmt.Errorf("load router: %w", err)
	}
	defer objects.Close()
	if k.IPv6 {
		return objects.Route6.Clone()
	}
	return objects.Route4.Clone()
}

func (b *bare) stateful() bool { return false }

func (b *bare) lookups(context.Context) (*lookups, error) { return nil, nil }

func (b *bare) close() error {
	for _, p := range b.programs {
		p.Close()
	}
	return nil
}
