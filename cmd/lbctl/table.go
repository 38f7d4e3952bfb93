package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
)

// vipTable reads like ipvsadm -Ln, with a state.
func vipTable(vips []api.Vip) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-5s%-40s %s\n", "Prot", "LocalAddress:Port", "Scheduler")
	fmt.Fprintf(&b, "  %-34s %6s %10s %9s  %s\n", "-> RemoteAddress:Port", "Weight", "ActiveConn", "InActConn", "State")
	for _, vip := range vips {
		address, protocol, _ := strings.Cut(vip.Vip, "/")
		line := fmt.Sprintf("%-5s%-40s %s", strings.ToUpper(protocol), address, vip.Scheduler)
		if vip.Name != "" {
			line += "  " + vip.Name
		}
		if !vip.Enabled {
			line += "  disabled"
		}
		for _, d := range vip.Decisions {
			line += " by " + d.Author
		}
		fmt.Fprintln(&b, line)
		for _, real := range vip.Reals {
			fmt.Fprintf(&b, "  -> %-31s %6d %10d %9d  %s\n", real.Real, real.Weight, real.Active, real.Inactive, realState(real))
		}
	}
	return b.String()
}

func realState(real api.Real) string {
	state := ownState(real)
	for _, d := range real.Decisions {
		if d.State == "drained" {
			state = strings.TrimPrefix(state+", "+drainText(d), "up, ")
		} else {
			state += " by " + d.Author
		}
	}
	return state
}

func drainText(d api.Decision) string {
	text := fmt.Sprintf("drained, %d flows left", d.FlowsLeft)
	if d.Deadline.IsZero() {
		return text
	}
	if time.Now().After(d.Deadline) {
		return text + ", being reset"
	}
	return text + ", until " + d.Deadline.Local().Format(time.TimeOnly)
}

func ownState(real api.Real) string {
	switch {
	case real.State == "down" && real.Error != "":
		return "down (" + real.Error + ")"
	case (real.State == "up" || real.State == "down") && !real.Checked:
		return real.State + " (unchecked since restart)"
	case real.Weight == 0 && real.State == "up":
		return "up, no new flows"
	}
	return real.State
}

// trafficTable reads like ipvsadm -Ln --stats or --rate.
func trafficTable(vips []api.Vip, rate bool) string {
	heads := [5]string{"Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"}
	if rate {
		heads = [5]string{"CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"}
	}
	var b strings.Builder
	row := func(name string, t api.Traffic) {
		if len(name) > 29 {
			fmt.Fprintf(&b, "%s\n", name)
			name = ""
		}
		fmt.Fprintf(&b, "%-29s %9s %9s %9s %9s %9s\n", name, short(t.Connections), short(t.PacketsIn),
			short(t.PacketsOut), short(t.BytesIn), short(t.BytesOut))
	}
	fmt.Fprintf(&b, "%-29s %9s %9s %9s %9s %9s\n", "Prot LocalAddress:Port", heads[0], heads[1], heads[2], heads[3], heads[4])
	fmt.Fprintln(&b, "  -> RemoteAddress:Port")
	for _, vip := range vips {
		var sum api.Traffic
		for _, real := range vip.Reals {
			sum.Connections += real.Traffic.Connections
			sum.PacketsIn += real.Traffic.PacketsIn
			sum.PacketsOut += real.Traffic.PacketsOut
			sum.BytesIn += real.Traffic.BytesIn
			sum.BytesOut += real.Traffic.BytesOut
		}
		address, protocol, _ := strings.Cut(vip.Vip, "/")
		row(fmt.Sprintf("%-5s%s", strings.ToUpper(protocol), address), sum)
		for _, real := range vip.Reals {
			row("  -> "+real.Real, real.Traffic)
		}
	}
	return b.String()
}

// short is a number in at most seven characters, as ipvsadm has them.
func short(n uint64) string {
	switch {
	case n < 1e7:
		return fmt.Sprint(n)
	case n < 1e10:
		return fmt.Sprintf("%dK", n/1e3)
	case n < 1e13:
		return fmt.Sprintf("%dM", n/1e6)
	}
	return fmt.Sprintf("%dG", n/1e9)
}

const flowHeader = "Prot Client                Vip                   Real                  State\n"

func flowLine(f api.Flow) string {
	return fmt.Sprintf("%-4s %-21s %-21s %-21s %s, %ds\n", strings.ToUpper(f.Protocol), f.Client, f.Vip, f.Real, f.State, f.Idle)
}

func statusText(s api.Status) string {
	var b strings.Builder
	for _, problem := range s.Problems {
		fmt.Fprintf(&b, "PROBLEM: %s\n", problem)
	}
	if len(s.Problems) == 0 {
		fmt.Fprintln(&b, "all is well")
	}
	fmt.Fprintf(&b, "tarpond %s, up %s, revision %d\n", s.Version, time.Since(s.Started).Round(time.Second), s.Revision)
	if s.Router != "" {
		fmt.Fprintf(&b, "%s of a pair, %s (see: lbctl pair status)\n", s.Router, s.Role)
	}
	fmt.Fprintf(&b, "%d vips, %d reals, %d of them usable\n", s.Vips, s.Reals, s.RealsUp)
	for _, d := range s.Decisions {
		fmt.Fprintln(&b, decisionText(d))
	}
	fmt.Fprintln(&b)
	fmt.Fprintf(&b, "%-10s %-15s %-8s %s\n", "Leg", "Interface", "Role", "Mode")
	for _, leg := range s.Legs {
		mode, note := leg.Mode, leg.Reason
		if mode == "" {
			mode = "-"
		}
		if !leg.Up {
			note = strings.TrimPrefix(note+"; link down", "; ")
		}
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("%-10s %-15s %-8s %-8s %s", leg.Name, leg.Interface, leg.Role, mode, note), " "))
	}
	fmt.Fprintf(&b, "\n%-10s %10s %10s %10s\n", "Flows", "now", "maximum", "slots")
	for _, family := range []struct {
		name  string
		table api.Table
	}{{"IPv4", s.Flows.IPv4}, {"IPv6", s.Flows.IPv6}} {
		fmt.Fprintf(&b, "%-10s %10d %10d %10d\n", family.name, family.table.Flows, family.table.Max, family.table.Slots)
	}
	fmt.Fprintf(&b, "%d MiB; %d moved, %d evicted, %d found no slot\n", s.Flows.Bytes>>20, s.Flows.Moved, s.Flows.Evicted, s.Flows.Full)
	return b.String()
}

// decisionText is a line about what an operator decided for the time being.
func decisionText(d api.Decision) string {
	text := "vip " + d.Vip
	if d.Real != "" {
		text += ": real " + d.Real
	}
	if d.State == "drained" {
		text += ": " + drainText(d)
	} else {
		text += ": " + d.State
	}
	return fmt.Sprintf("%s (%s, %s)", text, d.Author, d.Since.Local().Format("2006-01-02 15:04"))
}

func statsText(s api.Stats, all bool) string {
	var b strings.Builder
	if s.Zero != nil {
		fmt.Fprintf(&b, "counted %s\n", zeroText(*s.Zero))
	}
	fmt.Fprintf(&b, "%-24s %16s %16s\n", "Reason", "XDP", "TC")
	for i, count := range s.XDP {
		if tc := s.TC[i].Packets; all || count.Packets+tc > 0 {
			fmt.Fprintf(&b, "%-24s %16d %16d\n", count.Name, count.Packets, tc)
		}
	}
	fmt.Fprintf(&b, "\n%-15s %12s %12s %9s %9s %8s %8s\n", "Device", "RxPackets", "TxPackets", "RxDrop", "TxDrop", "RxErr", "TxErr")
	for _, d := range s.Devices {
		fmt.Fprintf(&b, "%-15s %12d %12d %9d %9d %8d %8d\n", d.Interface, d.RxPackets, d.TxPackets, d.RxDropped, d.TxDropped, d.RxErrors, d.TxErrors)
	}
	return b.String()
}

// zeroText says when the counters were set to 0.
func zeroText(z api.Zero) string {
	return fmt.Sprintf("since %s (%s)", z.Time.Local().Format(time.DateTime), z.Author)
}
