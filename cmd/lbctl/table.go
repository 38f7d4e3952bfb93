package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/count"
)

// vipTable reads like ipvsadm -Ln, with a state and, below it, what there is to say of it.
func vipTable(vips []api.Vip) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-5s%-40s %s\n", "Prot", "LocalAddress:Port", "Scheduler")
	fmt.Fprintf(&b, "  %-34s %6s %10s %9s  %s\n", "-> RemoteAddress:Port", "Weight", "ActiveConn", "InActConn", "State")
	for _, vip := range vips {
		address, protocol, _ := strings.Cut(vip.Vip, "/")
		head, rest := fmt.Sprintf("%-5s%-40s ", strings.ToUpper(protocol), address), vipRest(vip)
		if len(head+rest) <= columns {
			fmt.Fprintln(&b, head+rest)
		} else {
			b.WriteString(strings.TrimRight(head, " ") + "\n" + hanging(below, rest))
		}
		for _, real := range vip.Reals {
			state, more := realState(real)
			b.WriteString(row("  -> "+real.Real, 37, fmt.Sprintf("%6d %10d %9d  %s", real.Weight, real.Active, real.Inactive, state)))
			if more != "" {
				b.WriteString(hanging(below, more))
			}
		}
	}
	return b.String()
}

// below is where a second line of a vip or real begins.
const below = "     "

func vipRest(vip api.Vip) string {
	rest := vip.Scheduler
	if vip.Name != "" {
		rest += "  " + vip.Name
	}
	if !vip.Enabled {
		rest += "  disabled"
	}
	for _, d := range vip.Decisions {
		rest += " by " + d.Author
	}
	return rest
}

// realState is a word, and what there is to say of it.
func realState(real api.Real) (state, more string) {
	state, more = ownState(real)
	for _, d := range real.Decisions {
		switch {
		case d.State != "drained":
			more = joined(more, "by "+d.Author)
		case state == "up" || state == "unchecked":
			state, more = "drained", leftText(d)
		default:
			more = joined(more, "drained: "+leftText(d))
		}
	}
	return state, more
}

func joined(a, b string) string { return strings.TrimPrefix(a+"; "+b, "; ") }

func ownState(real api.Real) (state, more string) {
	switch {
	case real.State == "down" && real.Error != "":
		return "down", real.Error
	case (real.State == "up" || real.State == "down") && !real.Checked:
		return real.State, "not checked yet"
	case real.Weight == 0 && real.State == "up":
		return "up", "weight 0: no new flows"
	}
	return real.State, ""
}

// leftText is what is left of a drained real.
func leftText(d api.Decision) string {
	text := count.Of(d.FlowsLeft, "flow") + " left"
	if d.Deadline.IsZero() {
		return text
	}
	if time.Now().After(d.Deadline) {
		return text + ", being reset"
	}
	return text + ", until " + d.Deadline.Local().Format(time.TimeOnly)
}

// trafficTable reads like ipvsadm -Ln --stats or --rate.
func trafficTable(vips []api.Vip, rate bool) string {
	heads := [5]string{"Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"}
	if rate {
		heads = [5]string{"CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"}
	}
	var b strings.Builder
	line := func(name string, t api.Traffic) {
		b.WriteString(row(name, 30, fmt.Sprintf("%9s %9s %9s %9s %9s", short(t.Connections), short(t.PacketsIn),
			short(t.PacketsOut), short(t.BytesIn), short(t.BytesOut))))
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
		line(fmt.Sprintf("%-5s%s", strings.ToUpper(protocol), address), sum)
		for _, real := range vip.Reals {
			line("  -> "+real.Real, real.Traffic)
		}
	}
	return b.String()
}

// short is a number in at most eight characters, as ipvsadm has them.
func short(n uint64) string {
	unit := 0
	for ; n >= 1e7; n /= 1e3 {
		unit++
	}
	return strings.TrimSpace(fmt.Sprintf("%d%c", n, " KMGTP"[unit]))
}

const flowHeader = "Prot State         Idle Client                Vip               Real\n"

// flowLine is a line, or three if the addresses have no room beside each other.
func flowLine(f api.Flow) string {
	head := fmt.Sprintf("%-4s %-11s %6s ", strings.ToUpper(f.Protocol), f.State, fmt.Sprintf("%ds", f.Idle))
	if line := head + fmt.Sprintf("%-21s %-17s %s", f.Client, f.Vip, f.Real); len(line) <= columns {
		return line + "\n"
	}
	indent := "\n" + strings.Repeat(" ", len(head))
	return head + f.Client + indent + f.Vip + indent + f.Real + "\n"
}

func statusText(s api.Status) string {
	var b strings.Builder
	for _, problem := range s.Problems {
		b.WriteString(hanging("PROBLEM: ", problem))
	}
	if len(s.Problems) == 0 {
		fmt.Fprintln(&b, "all is well")
	}
	b.WriteString(fit(fmt.Sprintf("tarpond %s, up %s, revision %d", s.Version, time.Since(s.Started).Round(time.Second), s.Revision)))
	if s.Router != "" {
		b.WriteString(fit(fmt.Sprintf("%s of a pair, %s (see: lbctl pair status)", s.Router, s.Role)))
	}
	fmt.Fprintf(&b, "%s, %s, %d of them usable\n", count.Of(s.Vips, "vip"), count.Of(s.Reals, "real"), s.RealsUp)
	for _, d := range s.Decisions {
		b.WriteString(fit(decisionText(d)))
	}
	fmt.Fprintln(&b)
	b.WriteString(row("Leg", legColumns, fmt.Sprintf("%-15s %-8s %s", "Interface", "Role", "Mode")))
	for _, leg := range s.Legs {
		b.WriteString(legText(leg))
	}
	fmt.Fprintf(&b, "\n%-10s %10s %10s %10s\n", "Flows", "now", "maximum", "slots")
	for _, family := range []struct {
		name  string
		table api.Table
	}{{"IPv4", s.Flows.IPv4}, {"IPv6", s.Flows.IPv6}} {
		fmt.Fprintf(&b, "%-10s %10d %10d %10d\n", family.name, family.table.Flows, family.table.Max, family.table.Slots)
	}
	b.WriteString(fit(fmt.Sprintf("%d MiB; %d moved, %d evicted, %d found no slot", s.Flows.Bytes>>20, s.Flows.Moved, s.Flows.Evicted, s.Flows.Full)))
	return b.String()
}

// legColumns are those of a leg's name.
const legColumns = 11

func legText(leg api.Leg) string {
	note := leg.Reason
	if !leg.Up {
		note = joined(note, "link down")
	}
	rest := fmt.Sprintf("%-15s %-8s %-8s ", leg.Interface, leg.Role, cmp.Or(leg.Mode, "-"))
	first, more, _ := strings.Cut(beside(strings.Repeat(" ", legColumns)+rest, legColumns, note), "\n")
	return row(leg.Name, legColumns, first[legColumns:]) + more
}

// decisionText is a line about what an operator decided for the time being.
func decisionText(d api.Decision) string {
	text := "vip " + d.Vip
	if d.Real != "" {
		text += ": real " + d.Real
	}
	text += ": " + d.State
	if d.State == "drained" {
		text += ", " + leftText(d)
	}
	return fmt.Sprintf("%s (%s, %s)", text, d.Author, d.Since.Local().Format("2006-01-02 15:04"))
}

func statsText(s api.Stats, all bool) string {
	var b strings.Builder
	if s.Zero != nil {
		b.WriteString(fit("counted " + zeroText(*s.Zero)))
	}
	fmt.Fprintf(&b, "%-24s %16s %16s\n", "Reason", "XDP", "TC")
	for i, count := range s.XDP {
		if tc := s.TC[i].Packets; all || count.Packets+tc > 0 {
			fmt.Fprintf(&b, "%-24s %16d %16d\n", count.Name, count.Packets, tc)
		}
	}
	fmt.Fprintf(&b, "\n%-15s %12s %12s %9s %9s %8s %8s\n", "Device", "RxPackets", "TxPackets", "RxDrop", "TxDrop", "RxErr", "TxErr")
	for _, d := range s.Devices {
		fmt.Fprintf(&b, "%-15s %12s %12s %9s %9s %8s %8s\n", d.Interface, within(12, d.RxPackets), within(12, d.TxPackets),
			within(9, d.RxDropped), within(9, d.TxDropped), within(8, d.RxErrors), within(8, d.TxErrors))
	}
	return b.String()
}

// within is a number in a column of a width.
func within(width int, n uint64) string {
	if text := fmt.Sprint(n); len(text) <= width {
		return text
	}
	return short(n)
}

// zeroText says when the counters were set to 0.
func zeroText(z api.Zero) string {
	return fmt.Sprintf("since %s (%s)", z.Time.Local().Format(time.DateTime), z.Author)
}
