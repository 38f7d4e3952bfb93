package api

import "time"

// A Zero is what the counters were when an operator set them to 0. The counters
// themselves go on, for Prometheus's must never go back: lbctl shows the difference.
type Zero struct {
	Time    time.Time `json:"time"`
	Author  string    `json:"author"`
	XDP     []Count   `json:"xdp,omitempty"`
	TC      []Count   `json:"tc,omitempty"`
	Devices []Device  `json:"devices,omitempty"`
}

// SinceZero is what was counted since somebody set the counters to 0, if ever; of that
// it keeps only when it was, and who.
func (s Stats) SinceZero() Stats {
	z := s.Zero
	if z == nil {
		return s
	}
	s = s.Since(Stats{XDP: z.XDP, TC: z.TC, Devices: z.Devices})
	s.Zero = &Zero{Time: z.Time, Author: z.Author}
	return s
}

// Since is what was counted since an earlier look.
func (s Stats) Since(before Stats) Stats {
	s.XDP, s.TC = countsSince(before.XDP, s.XDP), countsSince(before.TC, s.TC)
	was := map[string]Device{}
	for _, d := range before.Devices {
		was[d.Interface] = d
	}
	devices := make([]Device, len(s.Devices))
	for i, d := range s.Devices {
		devices[i] = d.since(was[d.Interface])
	}
	s.Devices = devices
	return s
}

func countsSince(before, after []Count) []Count {
	was := map[string]uint64{}
	for _, count := range before {
		was[count.Name] = count.Packets
	}
	counts := make([]Count, len(after))
	for i, count := range after {
		counts[i] = Count{count.Name, grown(was[count.Name], count.Packets)}
	}
	return counts
}

func (d Device) since(was Device) Device {
	return Device{
		Interface: d.Interface,
		RxPackets: grown(was.RxPackets, d.RxPackets), TxPackets: grown(was.TxPackets, d.TxPackets),
		RxBytes: grown(was.RxBytes, d.RxBytes), TxBytes: grown(was.TxBytes, d.TxBytes),
		RxDropped: grown(was.RxDropped, d.RxDropped), TxDropped: grown(was.TxDropped, d.TxDropped),
		RxErrors: grown(was.RxErrors, d.RxErrors), TxErrors: grown(was.TxErrors, d.TxErrors),
	}
}

// Since is what was counted since an earlier look.
func (t Traffic) Since(before Traffic) Traffic {
	return Traffic{
		Connections: grown(before.Connections, t.Connections),
		PacketsIn:   grown(before.PacketsIn, t.PacketsIn), PacketsOut: grown(before.PacketsOut, t.PacketsOut),
		BytesIn: grown(before.BytesIn, t.BytesIn), BytesOut: grown(before.BytesOut, t.BytesOut),
	}
}

// grown is what a counter grew by; one that was made anew in between counts from 0.
func grown(before, after uint64) uint64 {
	if after < before {
		return after
	}
	return after - before
}
