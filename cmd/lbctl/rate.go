package main

import (
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
)

// per is a number of d, in a second.
func per(n uint64, d time.Duration) uint64 { return uint64(float64(n)/d.Seconds() + 0.5) }

// vipRates is the second list with its traffic per second.
func vipRates(before, after []api.Vip, d time.Duration) []api.Vip {
	was := map[string]api.Traffic{}
	for _, vip := range before {
		for _, real := range vip.Reals {
			was[vip.Vip+" "+real.Real] = real.Traffic
		}
	}
	return eachTraffic(after, func(vip api.Vip, real api.Real) api.Traffic {
		t := real.Traffic.Since(was[vip.Vip+" "+real.Real])
		return api.Traffic{
			Connections: per(t.Connections, d), PacketsIn: per(t.PacketsIn, d), PacketsOut: per(t.PacketsOut, d),
			BytesIn: per(t.BytesIn, d), BytesOut: per(t.BytesOut, d),
		}
	})
}

// sinceZero is the list with its traffic since somebody set the counters to 0.
func sinceZero(list []api.Vip) []api.Vip {
	return eachTraffic(list, func(_ api.Vip, real api.Real) api.Traffic { return real.Traffic.Since(real.Zero) })
}

func eachTraffic(list []api.Vip, traffic func(api.Vip, api.Real) api.Traffic) []api.Vip {
	for _, vip := range list {
		for i := range vip.Reals {
			vip.Reals[i].Traffic = traffic(vip, vip.Reals[i])
			vip.Reals[i].Zero = api.Traffic{}
		}
	}
	return list
}

func statRates(before, after api.Stats) api.Stats {
	d := after.Time.Sub(before.Time)
	rates := after.Since(before)
	rates.Zero = nil
	for _, counts := range [][]api.Count{rates.XDP, rates.TC} {
		for i := range counts {
			counts[i].Packets = per(counts[i].Packets, d)
		}
	}
	for i := range rates.Devices {
		r := &rates.Devices[i]
		for _, n := range []*uint64{
			&r.RxPackets, &r.TxPackets, &r.RxBytes, &r.TxBytes, &r.RxDropped, &r.TxDropped, &r.RxErrors, &r.TxErrors,
		} {
			*n = per(*n, d)
		}
	}
	return rates
}
