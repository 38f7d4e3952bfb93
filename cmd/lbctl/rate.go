package main

import (
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
)

// per is what a counter grew by in a second; one that was made anew in between
// counts from 0.
func per(before, after uint64, d time.Duration) uint64 {
	if after < before {
		before = 0
	}
	return uint64(float64(after-before)/d.Seconds() + 0.5)
}

// vipRates is the second list with its traffic per second.
func vipRates(before, after []api.Vip, d time.Duration) []api.Vip {
	was := map[string]api.Traffic{}
	for _, vip := range before {
		for _, real := range vip.Reals {
			was[vip.Vip+" "+real.Real] = real.Traffic
		}
	}
	for _, vip := range after {
		for i := range vip.Reals {
			t, old := &vip.Reals[i].Traffic, was[vip.Vip+" "+vip.Reals[i].Real]
			*t = api.Traffic{
				Connections: per(old.Connections, t.Connections, d),
				PacketsIn:   per(old.PacketsIn, t.PacketsIn, d), PacketsOut: per(old.PacketsOut, t.PacketsOut, d),
				BytesIn: per(old.BytesIn, t.BytesIn, d), BytesOut: per(old.BytesOut, t.BytesOut, d),
			}
		}
	}
	return after
}

func statRates(before, after api.Stats) api.Stats {
	d := after.Time.Sub(before.Time)
	for _, lists := range [][2][]api.Count{{before.XDP, after.XDP}, {before.TC, after.TC}} {
		for i := range lists[1] {
			lists[1][i].Packets = per(lists[0][i].Packets, lists[1][i].Packets, d)
		}
	}
	was := map[string]api.Device{}
	for _, device := range before.Devices {
		was[device.Interface] = device
	}
	for i := range after.Devices {
		now, old := &after.Devices[i], was[after.Devices[i].Interface]
		*now = api.Device{
			Interface: now.Interface,
			RxPackets: per(old.RxPackets, now.RxPackets, d), TxPackets: per(old.TxPackets, now.TxPackets, d),
			RxBytes: per(old.RxBytes, now.RxBytes, d), TxBytes: per(old.TxBytes, now.TxBytes, d),
			RxDropped: per(old.RxDropped, now.RxDropped, d), TxDropped: per(old.TxDropped, now.TxDropped, d),
			RxErrors: per(old.RxErrors, now.RxErrors, d), TxErrors: per(old.TxErrors, now.TxErrors, d),
		}
	}
	return after
}
