package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// kernelNAT is what a user would otherwise reach for: the kernel's own DNAT by
// nftables, with connection tracking.
type kernelNAT struct {
	lane *lane
	pass *ebpf.Program
}

func (n *kernelNAT) start(_ context.Context, l *lane, s scenario) error {
	n.lane = l
	c, err := loadBenchPart(nil, benchProgPass, nil)
	if err != nil {
		return fmt.Errorf("load pass: %w", err)
	}
	defer c.Close()
	n.pass = c.DetachProgram(benchProgPass)
	// A program that passes: frames that were redirected to these devices
	// become packets of the kernel's.
	if err := errors.Join(l.attach(l.r0, n.pass), l.attach(l.r1, n.pass)); err != nil {
		return err
	}
	if err := n.load(rules(s.Kind)); err != nil {
		return err
	}
	for _, setting := range []string{
		// As a NIC does it: checksums are not the host's work.
		"nf_conntrack_checksum=0",
		// The generator's sequence numbers stand still.
		"nf_conntrack_tcp_be_liberal=1",
		"nf_conntrack_udp_timeout=3600", "nf_conntrack_udp_timeout_stream=3600",
	} {
		name, value, _ := strings.Cut(setting, "=")
		if err := l.router.sysctl("net/netfilter/"+name, value); err != nil {
			return err
		}
	}
	return nil
}

// rules balances the vip over the reals, each new connection to the next.
func rules(k kind) string {
	net, family := networkOf(k.IPv6), "ip"
	if k.IPv6 {
		family = "ip6"
	}
	var reals []string
	for i := range scenarioReals {
		reals = append(reals, fmt.Sprintf("%d : %s", i, net.real(i)))
	}
	return fmt.Sprintf(`table %[1]s bench {
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		%[1]s daddr %[2]s %[3]s dport %[4]d dnat to numgen inc mod %[5]d map { %[6]s }:%[7]d
	}
}
`, family, net.vip, strings.ToLower(k.transport()), vipPort, scenarioReals, strings.Join(reals, ", "), realPort)
}

func (n *kernelNAT) load(ruleset string) error {
	return n.lane.router.do(func() error {
		c := exec.Command("nft", "-f", "-")
		c.Stdin = strings.NewReader(ruleset)
		out, err := c.CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			return errors.New("nft is missing: apt-get install nftables")
		}
		if err != nil {
			return fmt.Errorf("nft -f: %w: %s", err, out)
		}
		return nil
	})
}

func (n *kernelNAT) stateful() bool { return true }

// lookups: connection tracking counts misses only as entries, which the fill
// has checked; it keeps no hits.
func (n *kernelNAT) lookups(context.Context) (*lookups, error) { return nil, nil }

// flows is the number of connections tracked.
func (n *kernelNAT) flows() (int, error) {
	var count int
	err := n.lane.router.do(func() error {
		var err error
		count, err = readInt("/proc/sys/net/netfilter/nf_conntrack_count")
		return err
	})
	return count, err
}

// close empties the table: a namespace that goes with a million connections
// keeps a kernel thread busy beside whatever is measured next.
func (n *kernelNAT) close() error {
	if n.pass != nil {
		n.pass.Close()
	}
	if n.lane == nil {
		return nil
	}
	if err := n.lane.router.nl.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return fmt.Errorf("flush connection tracking: %w", err)
	}
	return nil
}

const (
	conntrackMax     = "net/netfilter/nf_conntrack_max"
	conntrackBuckets = "net/netfilter/nf_conntrack_buckets"
)

// sizeConntrack gives connection tracking room for a number of flows, a bucket
// for each, as its documentation advises; both are the machine's, not a
// namespace's. restore sets them as they were.
func sizeConntrack(flows int) (restore func() error, err error) {
	oldMax, err := readInt("/proc/sys/" + conntrackMax)
	if err != nil {
		return nil, fmt.Errorf("connection tracking is missing in this kernel: %w", err)
	}
	oldBuckets, err := readInt("/proc/sys/" + conntrackBuckets)
	if err != nil {
		return nil, err
	}
	restore = func() error {
		return errors.Join(
			writeSysctl(conntrackMax, strconv.Itoa(oldMax)),
			writeSysctl(conntrackBuckets, strconv.Itoa(oldBuckets)))
	}
	want := max(oldMax, 2*flows)
	err = writeSysctl(conntrackMax, strconv.Itoa(want))
	if err == nil && oldBuckets < flows {
		err = writeSysctl(conntrackBuckets, strconv.Itoa(flows))
	}
	if err != nil {
		return nil, errors.Join(err, restore())
	}
	return restore, nil
}

func readInt(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}
