package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/doctor"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/loader"
	"golang.org/x/sys/unix"
)

// probeWait is how long answers to a probe are waited for.
const probeWait = 300 * time.Millisecond

// An examination gathers facts from the edges. What it has of the controller is
// replaced there, never changed.
type examination struct {
	*Controller
	doctor.Facts
	config  *config.Config
	have    loader.Tables
	checked map[checkKey]bool // up, by a check of ours
	devices []host.Interface
	zero    *api.Zero // of the counters
}

// Findings implements api.Controller. What takes time is done outside of the owning
// goroutine: flows are counted, the firewall's rules read, addresses probed.
func (c *Controller) Findings(ctx context.Context) ([]api.Finding, error) {
	e := &examination{Controller: c, checked: map[checkKey]bool{}}
	if err := c.do(ctx, e.askOwner); err != nil {
		return nil, err
	}
	var err error
	e.devices, err = c.Host.Interfaces()
	e.Miss("the interfaces", err)
	e.sysctls()
	e.kernel()
	e.counters()
	e.backends()
	e.shared()
	e.firewall(ctx)
	e.duplicates()
	return doctor.Findings(e.Facts), nil
}

// askOwner takes what only the owning goroutine may look at.
func (e *examination) askOwner() {
	e.config, e.have, e.zero = e.Controller.config, e.Controller.have, e.zeroView()
	if e.Facts.Pair = e.pairView(); !e.Facts.Pair.InSync.Yes {
		e.NotInSync = time.Since(e.Facts.Pair.InSync.Since)
	}
	for key, h := range e.health {
		e.checked[key] = h.state.Up && h.state.Checked
	}
	e.Tables = []doctor.Table{
		{Family: "IPv4", Flows: e.sweep.Flows4, Max: e.config.Flows.MaxIPv4},
		{Family: "IPv6", Flows: e.sweep.Flows6, Max: e.config.Flows.MaxIPv6},
	}
	attached := map[string]loader.Attachment{}
	for _, a := range e.Loader.Attachments() {
		attached[a.Name] = a
	}
	for _, leg := range e.config.DataLegs() {
		a, ok := attached[leg.Name]
		state := e.legs[leg.Interface]
		fact := doctor.Leg{
			Name: leg.Name, Interface: leg.Interface, Role: leg.Role, Up: state.Up, MTU: state.MTU,
			Attached: ok, Wanted: leg.Mode, Mode: a.Mode, Reason: a.Reason,
		}
		if ok && state.Ifindex != 0 {
			e.device(&fact, state.Ifindex)
		}
		e.Legs = append(e.Legs, fact)
	}
}

func (e *examination) device(leg *doctor.Leg, ifindex int) {
	others, err := e.Loader.Others(ifindex)
	e.Miss("other programs", err)
	for _, o := range others {
		hook := map[loader.Hook]string{loader.HookXDP: "xdp", loader.HookTC: "tc"}[o.Hook]
		leg.Others = append(leg.Others, doctor.Owner{Hook: hook, Name: o.String()})
	}
	leg.Offloads, err = e.Host.OffloadsOn(ifindex, offloadsOff(leg.Wanted, leg.Mode == loader.Native)...)
	e.Miss("offloads", err)
}

func (e *examination) sysctls() {
	faults, err := e.Host.SysctlFaults(sysctlsFor(e.config.DataLegs()))
	e.Miss("sysctls", err)
	for _, s := range faults {
		e.Sysctls = append(e.Sysctls, doctor.Sysctl{Name: s.Name, Value: s.Old, Want: s.New})
	}
	for _, vip := range e.config.Vips {
		e.IPv6 = e.IPv6 || vip.Endpoint.Addr().Is6()
	}
	e.IPv6Forwarding = e.sysctl("net/ipv6/conf/all/forwarding") == "1"
}

func (e *examination) sysctl(path string) string {
	value, err := e.Host.Sysctl(path)
	e.Miss("sysctls", err)
	return value
}

func (e *examination) kernel() {
	var name unix.Utsname
	e.Miss("the kernel", unix.Uname(&name))
	k := &e.Kernel
	k.Release = unix.ByteSliceToString(name.Release[:])
	_, err := fmt.Sscanf(k.Release, "%d.%d", &k.Major, &k.Minor)
	e.Miss("the kernel's version", err)
	k.JIT = e.sysctl("net/core/bpf_jit_enable") != "0" // only the first network namespace has it
	k.Stats = e.sysctl("kernel/bpf_stats_enabled") == "1"
}

func (e *examination) counters() {
	counted, err := e.Loader.Reasons()
	e.Miss("the counters", err)
	e.Reasons = map[string]uint64{}
	s := api.Stats{XDP: counts(counted.XDP), TC: counts(counted.TC), Zero: e.zero}.SinceZero()
	for _, count := range slices.Concat(s.XDP, s.TC) {
		e.Reasons[count.Name] += count.Packets
	}
}

// backends counts which flows of every backend have heard of its real.
func (e *examination) backends() {
	traffic, err := e.Loader.Traffic()
	e.Miss("the backends' counters", err)
	byID := map[loader.BackendID]*doctor.Backend{}
	for id, b := range e.have.Backends {
		vip := e.have.Vips[b.Vip].Endpoint
		byID[id] = &doctor.Backend{
			Vip: vipText(vip), Real: realText(b.Real), CheckedUp: e.checked[checkKey{vip, b.Real}],
			PacketsOut: traffic[id].PacketsOut, Gateway: e.gatewayFor(b.Real.Addr()),
		}
	}
	for flow := range e.Loader.Flows() {
		b, ok := byID[flow.Backend]
		switch {
		case !ok:
		case flow.State == loader.Handshake || flow.State == loader.UDPUnreplied:
			b.Waiting++
			b.Oldest = max(b.Oldest, flow.Idle)
		default:
			b.Answered++
		}
	}
	for _, b := range byID {
		e.Backends = append(e.Backends, *b)
	}
	slices.SortFunc(e.Backends, func(a, b doctor.Backend) int {
		return cmp.Or(strings.Compare(a.Vip, b.Vip), strings.Compare(a.Real, b.Real))
	})
}

// gatewayFor is the address of this router that a real should send its answers to: a
// floating one in its network, else an own one of a leg; invalid: there is none.
func (e *examination) gatewayFor(real netip.Addr) netip.Addr {
	for _, f := range e.config.Floating {
		if f.Address.Contains(real) {
			return f.Address.Addr()
		}
	}
	for _, leg := range e.config.DataLegs() {
		if leg.Role&loader.Inside == 0 {
			continue
		}
		for _, a := range interfaceOf(leg, e.devices).Addresses {
			if !a.Ours && a.Prefix.Contains(real) {
				return a.Prefix.Addr()
			}
		}
	}
	return netip.Addr{}
}

// shared finds the legs' networks that reals are in.
func (e *examination) shared() {
	for _, leg := range e.config.DataLegs() {
		for _, network := range networks(interfaceOf(leg, e.devices)) {
			var vips []string
			for _, vip := range e.config.Vips {
				if slices.ContainsFunc(vip.Reals, func(r config.Real) bool { return network.Contains(r.Address.Addr()) }) {
					vips = append(vips, vipText(vip.Endpoint))
				}
			}
			if len(vips) > 0 {
				e.Shared = append(e.Shared, doctor.Shared{Leg: leg.Name, Interface: leg.Interface, Network: network, Vips: vips})
			}
		}
	}
}

// networks that an interface's addresses are in.
func networks(device host.Interface) (list []netip.Prefix) {
	for _, a := range device.Addresses {
		if network := a.Prefix.Masked(); !network.IsSingleIP() && !slices.Contains(list, network) {
			list = append(list, network)
		}
	}
	return list
}

// firewall asks nft, which does not see the tables of iptables-legacy.
func (e *examination) firewall(ctx context.Context) {
	const of = "/proc/thread-self/net/" // the calling thread's namespace
	e.Miss("the firewall's rules (iptables)", legacyTables(of+"ip_tables_names", "iptables-legacy-save"))
	e.Miss("the firewall's rules (ip6tables)", legacyTables(of+"ip6_tables_names", "ip6tables-legacy-save"))
	nft, err := exec.LookPath("nft")
	if err != nil {
		e.Miss("the firewall's rules (nft)", errors.New("there is no nft in tarpond's PATH"))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ruleset, err := exec.CommandContext(ctx, nft, "-j", "list", "ruleset").Output()
	if err != nil {
		e.Miss("the firewall's rules (nft)", err)
		return
	}
	vips := map[string]loader.Endpoint{}
	for _, vip := range e.config.Vips {
		vips[vipText(vip.Endpoint)] = vip.Endpoint
	}
	e.Mentions, err = doctor.Mentions(ruleset, vips)
	e.Miss("the firewall's rules (nft)", err)
}

// legacyTables is an error that names the tables of iptables-legacy that a file lists,
// and who shows their rules.
func legacyTables(file, show string) error {
	names, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the kernel has no such tables
	}
	if tables := strings.Fields(string(names)); len(tables) > 0 {
		return fmt.Errorf("nft does not show those of %s: see %s", strings.Join(tables, ", "), show)
	}
	return err
}

// duplicates probes for the addresses that this router announces on its legs. Those of
// a standby are the other router's.
func (e *examination) duplicates() {
	if e.Facts.Pair.Own.Role == "standby" {
		return
	}
	announced := map[string][]netip.Addr{} // by leg
	add := func(leg string, address netip.Addr) {
		if !slices.Contains(announced[leg], address) {
			announced[leg] = append(announced[leg], address)
		}
	}
	for _, f := range e.config.Floating {
		add(f.Leg, f.Address.Addr())
	}
	for _, vip := range e.config.Vips {
		if vip.Enabled {
			add(vip.Leg, vip.Endpoint.Addr())
		}
	}
	for _, leg := range e.config.DataLegs() {
		device := interfaceOf(leg, e.devices)
		if !device.Carrier || len(announced[leg.Name]) == 0 {
			continue
		}
		found, err := host.Probe(device, announced[leg.Name], probeWait)
		e.Miss("duplicate addresses", err)
		for _, address := range announced[leg.Name] {
			if mac, ok := found[address]; ok {
				e.Duplicates = append(e.Duplicates, doctor.Duplicate{
					Address: address, Leg: leg.Name, Interface: leg.Interface, MAC: mac.String(),
				})
			}
		}
	}
}
