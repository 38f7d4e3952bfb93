// Package metrics serves what the router counts to Prometheus. Everything is read when
// it is asked for, by the same views as lbctl's; nothing is kept.
package metrics

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tarpon-lb/tarpon/control/api"
)

// A Router is what is measured: api.Controller's views.
type Router interface {
	Status(ctx context.Context) (api.Status, error)
	Vips(ctx context.Context) ([]api.Vip, error)
	Stats(ctx context.Context) (api.Stats, error)
	Pair(ctx context.Context) (api.Pair, error)
}

// collector implements prometheus.Collector.
type collector struct{ router Router }

// patience is how long a router may take to answer.
const patience = 10 * time.Second

func (c collector) Describe(descs chan<- *prometheus.Desc) {
	for _, f := range families {
		descs <- f.desc
	}
}

func (c collector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	vips, vipsErr := c.router.Vips(ctx)
	stats, statsErr := c.router.Stats(ctx)
	status, statusErr := c.router.Status(ctx)
	pair, pairErr := c.router.Pair(ctx)
	if err := errors.Join(vipsErr, statsErr, statusErr, pairErr); err != nil {
		metrics <- prometheus.NewInvalidMetric(buildInfo.desc, err)
		return
	}
	s := sample(metrics)
	s.status(status)
	s.vips(vips)
	s.stats(stats)
	s.pair(pair)
}

// sample is where one scrape's values go.
type sample chan<- prometheus.Metric

func (s sample) set(f *family, value float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
}

func (s sample) count(f *family, value uint64, labels ...string) { s.set(f, float64(value), labels...) }

func (s sample) is(f *family, yes bool, labels ...string) {
	value := 0.0
	if yes {
		value = 1
	}
	s.set(f, value, labels...)
}

func (s sample) status(status api.Status) {
	s.is(buildInfo, true, status.Version, runtime.Version())
	s.set(problems, float64(len(status.Problems)))
	s.set(revision, float64(status.Revision))
	s.is(edited, status.FileEdited)
	s.count(checksDone, status.Checks.Done)
	s.count(checksBad, status.Checks.Failed)
	s.table("ipv4", status.Flows.IPv4)
	s.table("ipv6", status.Flows.IPv6)
	for _, leg := range status.Legs {
		mode := leg.Mode
		if mode == "" {
			mode = "none"
		}
		s.is(legInfo, true, leg.Name, leg.Interface, leg.Role, leg.Configured, mode)
		s.is(legUp, leg.Up, leg.Name)
	}
}

func (s sample) table(family string, table api.Table) {
	s.set(tableFlows, float64(table.Flows), family)
	s.set(tableMax, float64(table.Max), family)
	s.set(tableSlots, float64(table.Slots), family)
}

func (s sample) vips(vips []api.Vip) {
	for _, vip := range vips {
		s.is(vipInfo, true, vip.Vip, vip.Name, vip.Leg, vip.Scheduler)
		usable := 0
		for _, real := range vip.Reals {
			if s.real(vip.Vip, real) {
				usable++
			}
		}
		if vip.Enabled {
			s.set(vipUsable, float64(usable), vip.Vip)
		}
	}
}

// real says whether new flows may go to it.
func (s sample) real(vip string, real api.Real) (usable bool) {
	up, weight := real.State == "up" || real.State == "unchecked", real.Weight
	if real.State == "disabled" || isDrained(real) {
		weight = 0
	}
	if real.State != "disabled" {
		s.is(realUp, up, vip, real.Real)
	}
	s.set(realWeight, float64(weight), vip, real.Real)
	s.set(realFlows, float64(real.Active), vip, real.Real, "established")
	s.set(realFlows, float64(real.Inactive), vip, real.Real, "other")
	t := real.Traffic
	s.count(realConns, t.Connections, vip, real.Real)
	s.count(realPacket, t.PacketsIn, vip, real.Real, "in")
	s.count(realPacket, t.PacketsOut, vip, real.Real, "out")
	s.count(realBytes, t.BytesIn, vip, real.Real, "in")
	s.count(realBytes, t.BytesOut, vip, real.Real, "out")
	return up && weight > 0
}

func isDrained(real api.Real) bool {
	for _, d := range real.Decisions {
		if d.State == "drained" {
			return true
		}
	}
	return false
}

func (s sample) stats(stats api.Stats) {
	s.reasons("xdp", stats.XDP)
	s.reasons("tc", stats.TC)
	for _, d := range stats.Devices {
		s.count(devDrops, d.RxDropped, d.Interface, "receive")
		s.count(devDrops, d.TxDropped, d.Interface, "transmit")
		s.count(devFails, d.RxErrors, d.Interface, "receive")
		s.count(devFails, d.TxErrors, d.Interface, "transmit")
	}
}

// reasons keeps apart what became of a packet, which is one of many, and what it did
// with the flow tables besides.
func (s sample) reasons(hook string, counts []api.Count) {
	for _, count := range counts {
		f := packets
		if strings.HasPrefix(count.Name, "flow_") {
			f = flowEvents
		}
		s.count(f, count.Packets, hook, count.Name)
	}
}

// pairName is the same on both routers; of a foreign peer nobody hears, and what is said
// of a pair as a whole (that none is active) cannot be said: it has no name.
func pairName(p api.Pair) string {
	if p.Foreign {
		return ""
	}
	names := []string{p.Own.Name, p.Peer.Name}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// pair has nothing of a router alone, and of a foreign peer only the election.
func (s sample) pair(p api.Pair) {
	if !p.Paired {
		return
	}
	s.is(pairActive, p.Own.Role == "active", pairName(p))
	s.set(pairPriority, float64(p.Own.Priority))
	s.count(pairRoles, p.Adverts.Transitions)
	s.count(pairSent, p.Adverts.Sent)
	s.count(pairHeard, p.Adverts.Received)
	s.count(pairLate, p.Adverts.Late)
	if p.Foreign {
		return
	}
	s.is(pairConflict, p.Agreement.State == "conflict")
	s.set(pairDiffer, float64(len(p.HealthDifferences)))
	s.is(pairInSync, p.InSync.Yes)
	s.set(pairLag, p.InSync.Lag)
	for _, h := range p.Heartbeats {
		family := "ipv4"
		if strings.Contains(h.Peer, ":") {
			family = "ipv6"
		}
		s.is(pairLink, h.Up, h.Leg, family)
	}
}
