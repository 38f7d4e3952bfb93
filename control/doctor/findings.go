package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/loader"
)

// Findings are what the facts mean, the worst first.
func Findings(f Facts) []api.Finding {
	findings := []api.Finding{}
	for _, look := range []func(Facts) []api.Finding{
		replies, duplicates, pair, legs, others, offloads, mtu, sysctls, fullNAT, tables, firewall, kernel, unknown,
	} {
		findings = append(findings, look(f)...)
	}
	rank := map[string]int{api.SeverityFault: 0, api.SeverityWarning: 1, api.SeverityNote: 2}
	slices.SortStableFunc(findings, func(a, b api.Finding) int { return rank[a.Severity] - rank[b.Severity] })
	return findings
}

// leastWaiting is how many flows make a pattern.
const leastWaiting = 3

// replies finds the classic mistake of a NAT balancer: the real answers, but past
// this router, and the client throws the answer away.
func replies(f Facts) (list []api.Finding) {
	for _, b := range f.Backends {
		if b.Waiting < leastWaiting || b.Answered > 0 || b.Oldest < time.Second {
			continue
		}
		what := fmt.Sprintf("%d flows wait for an answer, and none has one", b.Waiting)
		if b.PacketsOut == 0 {
			what = fmt.Sprintf("%d flows wait for an answer, and never did one come back through this router", b.Waiting)
		}
		finding := api.Finding{
			Severity: api.SeverityFault, Kind: "no_replies", What: what, Where: b.Real + " of vip " + b.Vip,
			Remedy: "see whether the service answers strangers (firewall, listen address)",
		}
		if b.CheckedUp {
			finding.What += ", though it answers the router's own checks"
		}
		if b.Gateway.IsValid() {
			finding.Remedy = fmt.Sprintf("make this router the real's default gateway: ip route replace default via %s; then see its firewall", b.Gateway)
		}
		list = append(list, finding)
	}
	return list
}

func duplicates(f Facts) (list []api.Finding) {
	for _, d := range f.Duplicates {
		list = append(list, api.Finding{
			Severity: api.SeverityFault, Kind: "duplicate_address", What: fmt.Sprintf("%s has %s too", d.MAC, d.Address), Where: at(d.Leg, d.Interface),
			Remedy: "take the address off that machine, or choose another one here",
		})
	}
	return list
}

// longNotInSync is how long the two may be apart without being told.
const longNotInSync = time.Minute

// fastAdverts and slower ones are kept up under any load that a router is to bear.
const fastAdverts = 100 * time.Millisecond

// pair finds what keeps one router from standing in for the other.
func pair(f Facts) (list []api.Finding) {
	p := f.Pair
	if !p.Paired {
		return nil
	}
	linked := slices.ContainsFunc(p.Heartbeats, func(h api.Heartbeat) bool { return h.Up })
	switch {
	case p.Foreign:
		list = append(list, api.Finding{
			Severity: api.SeverityNote, Kind: "pair_foreign", Where: "pair",
			What: p.Peer.Name + " is no Tarpon (peer: vrrp): when the service moves, its connections break; changes must be made on both",
		})
	case !linked:
		list = append(list, api.Finding{
			Severity: api.SeverityWarning, Kind: "pair_no_link", Where: "pair", What: "there is no connection to " + p.Peer.Name,
			Remedy: "does it run? are the addresses and keys in `routers` right? lbctl pair status has the error of each leg",
		})
	case p.Agreement.State == "conflict":
		list = append(list, api.Finding{
			Severity: api.SeverityFault, Kind: "pair_conflict", Where: "pair",
			What:   fmt.Sprintf("%s runs revision %s, %s another one, %s", p.Own.Name, p.Agreement.Own, p.Peer.Name, p.Agreement.Peer),
			Remedy: p.Agreement.Remedy,
		})
	case !p.InSync.Yes && f.NotInSync >= longNotInSync:
		list = append(list, api.Finding{
			Severity: api.SeverityWarning, Kind: "pair_not_in_sync", Where: "pair",
			What:   fmt.Sprintf("not in sync with %s for %s: a failover would cut connections", p.Peer.Name, f.NotInSync.Round(time.Second)),
			Remedy: "lbctl pair status says which of the facts is missing",
		})
	}
	if p.Transition != nil {
		for _, silent := range p.Transition.Silent {
			list = append(list, api.Finding{
				Severity: api.SeverityFault, Kind: "neighbour_silent", Where: "pair", What: silent,
				Remedy: "it has an old MAC for the address: see its ARP table for a permanent entry",
			})
		}
	}
	if a := p.Adverts; a.Interval > 0 && a.Interval < fastAdverts.Seconds() {
		list = append(list, api.Finding{
			Severity: api.SeverityWarning, Kind: "pair_fast_adverts", Where: "pair",
			What: fmt.Sprintf("adverts are %g ms apart: an active router that is busy for three of them loses the service (%d of %d were late)",
				1000*a.Interval, a.Late, a.Sent),
			Remedy: "write `pair.advert: 100ms` or more",
		})
	}
	for _, o := range p.OtherVRIDs {
		list = append(list, api.Finding{
			Severity: api.SeverityNote, Kind: "other_vrid", Where: o.Interface, What: fmt.Sprintf("%s uses VRID %d there", o.From, o.VRID),
		})
	}
	return list
}

func at(leg, device string) string { return fmt.Sprintf("leg %s (%s)", leg, device) }

func legs(f Facts) (list []api.Finding) {
	for _, l := range f.Legs {
		finding := api.Finding{Where: at(l.Name, l.Interface)}
		switch {
		case !l.Attached:
			finding.Severity, finding.Kind, finding.What = api.SeverityFault, "leg_not_attached", "no program runs on it"
			finding.Remedy = "see lbctl status"
		case !l.Up:
			finding.Severity, finding.Kind, finding.What = api.SeverityFault, "leg_down", "it is down, or has no carrier"
			finding.Remedy = "ip link set " + l.Interface + " up; see the cable and the switch"
		case l.Mode != loader.Native:
			finding.Severity, finding.Kind = api.SeverityNote, "mode"
			finding.What = fmt.Sprintf("mode %s, not native: %s", l.Mode, l.Reason)
			if l.Wanted == loader.Auto {
				finding.Severity = api.SeverityWarning
				finding.Remedy = "a driver with native XDP is several times faster; `mode: tc` for this leg says that it is known"
			}
			if l.Mode == loader.Generic {
				finding.Severity, finding.Remedy = api.SeverityWarning, "write `mode: auto`: TC is no slower, and needs no copies"
			}
		case l.Reason != "":
			finding.Severity, finding.Kind, finding.What = api.SeverityNote, "mode", "mode native, but "+l.Reason
		default:
			continue
		}
		list = append(list, finding)
	}
	return list
}

func others(f Facts) (list []api.Finding) {
	for _, l := range f.Legs {
		for _, o := range l.Others {
			list = append(list, api.Finding{
				Severity: api.SeverityWarning, Kind: "other_program", Where: at(l.Name, l.Interface),
				What:   fmt.Sprintf("somebody else's %s program runs there too: %s", strings.ToUpper(o.Hook), o.Name),
				Remedy: "see whether it takes packets before Tarpon does (bpftool net)",
			})
		}
	}
	return list
}

func offloads(f Facts) (list []api.Finding) {
	for _, l := range f.Legs {
		for _, o := range l.Offloads {
			list = append(list, api.Finding{
				Severity: api.SeverityWarning, Kind: "offload", What: o + " is on, and should not be", Where: at(l.Name, l.Interface),
				Remedy: fmt.Sprintf("ethtool -K %s %s off", l.Interface, o),
			})
		}
	}
	return list
}

// mtu compares the narrowest way to the reals with the widest from clients.
func mtu(f Facts) []api.Finding {
	var outside, inside *Leg
	for i := range f.Legs {
		l := &f.Legs[i]
		if l.MTU == 0 {
			continue
		}
		if l.Role&loader.Outside != 0 && (outside == nil || l.MTU > outside.MTU) {
			outside = l
		}
		if l.Role&loader.Inside != 0 && (inside == nil || l.MTU < inside.MTU) {
			inside = l
		}
	}
	if outside == nil || inside == nil || inside.MTU >= outside.MTU {
		return nil
	}
	return []api.Finding{{
		Severity: api.SeverityWarning, Kind: "mtu", Where: at(inside.Name, inside.Interface),
		What:   fmt.Sprintf("its MTU is %d, below that of leg %s, %d: large packets of clients are refused with ICMP", inside.MTU, outside.Name, outside.MTU),
		Remedy: fmt.Sprintf("ip link set %s mtu %d, and so on the reals and the switch", inside.Interface, outside.MTU),
	}}
}

func sysctls(f Facts) (list []api.Finding) {
	for _, s := range f.Sysctls {
		finding := api.Finding{
			Severity: api.SeverityWarning, Kind: "sysctl", What: fmt.Sprintf("it is %s, not %s", s.Value, s.Want), Where: s.Name,
			Remedy: "find who sets it (/etc/sysctl.d, systemd-networkd); tarpond sets it back every 10 s",
		}
		if strings.HasSuffix(s.Name, ".forwarding") {
			finding.Severity = api.SeverityFault
		}
		list = append(list, finding)
	}
	if f.IPv6 && !f.IPv6Forwarding {
		list = append(list, api.Finding{
			Severity: api.SeverityWarning, Kind: "ipv6_forwarding", Where: "net.ipv6.conf.all.forwarding",
			What:   "it is 0: the kernel does not forward the IPv6 traffic that is not balanced, such as the reals' own",
			Remedy: "sysctl -w net.ipv6.conf.all.forwarding=1, and in /etc/sysctl.d (it makes interfaces ignore router advertisements: set accept_ra=2 where they are needed)",
		})
	}
	return list
}

func fullNAT(f Facts) []api.Finding {
	packets := f.Reasons["drop_needs_full_nat"]
	if packets == 0 {
		return nil
	}
	finding := api.Finding{
		Severity: api.SeverityWarning, Kind: "needs_full_nat", Where: "clients on the reals' own network",
		What:   fmt.Sprintf("%d packets were dropped: the real would have answered such a client directly, past this router", packets),
		Remedy: "let these clients use a real's address, or put them on another network; then lbctl stats --zero",
	}
	var where, from, who []string
	for _, s := range f.Shared { // which of them it was, nobody counts
		where = append(where, at(s.Leg, s.Interface))
		from = append(from, fmt.Sprintf("%s has reals of vip %s", s.Network, fewOf(s.Vips)))
		who = append(who, "ip neigh show dev "+s.Interface)
	}
	if len(where) > 0 {
		finding.Where = strings.Join(slices.Compact(where), ", ")
		finding.What += "; " + strings.Join(from, ", ")
		finding.Remedy += fmt.Sprintf(" (who may it be: %s; is it: lbctl explain --from CLIENT --to %s)", strings.Join(slices.Compact(who), "; "), f.Shared[0].Vips[0])
	}
	return []api.Finding{finding}
}

// fewOf names what fits a line of a list that is not empty.
func fewOf(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

func tables(f Facts) (list []api.Finding) {
	for _, t := range f.Tables {
		if t.Max > 0 && t.Flows*100 >= t.Max*80 {
			list = append(list, api.Finding{
				Severity: api.SeverityWarning, Kind: "table_fills", Where: "flow table of " + t.Family,
				What: fmt.Sprintf("%d flows of %d", t.Flows, t.Max), Remedy: "raise flows.max_" + strings.ToLower(t.Family),
			})
		}
	}
	if full := f.Reasons["flow_full"]; full > 0 {
		list = append(list, api.Finding{
			Severity: api.SeverityNote, Kind: "table_was_full", Where: "flow tables",
			What: fmt.Sprintf("%d flows found no slot since the counters began (lbctl stats --zero: anew), and went by the schedule alone", full),
		})
	}
	return list
}

func firewall(f Facts) (list []api.Finding) {
	for _, m := range f.Mentions {
		finding := api.Finding{
			Severity: api.SeverityNote, Kind: "firewall_rule", Where: m.Rule,
			What: fmt.Sprintf("it names the %s of vip %s, whose traffic netfilter does not see", m.What, m.Vip),
		}
		if m.What == "address" {
			finding.Severity = api.SeverityWarning
			finding.Remedy = "filter on the reals, or before this router, and take the rule out"
		}
		list = append(list, finding)
	}
	return list
}

func kernel(f Facts) (list []api.Finding) {
	where := "kernel " + f.Kernel.Release
	if !f.Kernel.JIT {
		list = append(list, api.Finding{
			Severity: api.SeverityWarning, Kind: "no_jit", What: "BPF programs are interpreted, several times slower", Where: where,
			Remedy: "sysctl -w net.core.bpf_jit_enable=1",
		})
	}
	if f.Kernel.Stats {
		list = append(list, api.Finding{
			Severity: api.SeverityWarning, Kind: "bpf_stats", What: "every program's run time is measured, which costs time for each packet", Where: where,
			Remedy: "sysctl -w kernel.bpf_stats_enabled=0",
		})
	}
	if f.Kernel.Major < 6 || f.Kernel.Major == 6 && f.Kernel.Minor < 6 {
		list = append(list, api.Finding{
			Severity: api.SeverityNote, Kind: "no_tcx", Where: where,
			What: "before 6.6 the TC program is a filter of clsact, which whoever removes the qdisc removes too",
		})
	}
	return list
}

func unknown(f Facts) (list []api.Finding) {
	for _, u := range f.Unknown {
		list = append(list, api.Finding{Severity: api.SeverityNote, Kind: "unknown", What: u, Where: "doctor"})
	}
	return list
}
