package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// What the bench must know of the daemon's inner works: the names of the
// counters of look-ups, and where a flow table's buckets and keys are
// (bpf/flow.h). Everything that changes with them is in this file.

// lookups adds up the counters of the flow table.
func (d *daemon) lookups(ctx context.Context) (*lookups, error) {
	out, err := d.ctl(ctx, "stats", "-o", "json")
	if err != nil {
		return nil, err
	}
	reasons, err := reasonsOf(out)
	if err != nil {
		return nil, err
	}
	l := &lookups{Hits: reasons["flow_hit"]}
	// The lab's reals send nothing but replies: one that passes as a real's own is a miss
	// (of both programs: XDP passes it on to TC).
	for _, miss := range []string{"flow_new", "flow_again", "flow_full", "flow_reply_no_flow", "pass_real_itself"} {
		l.Misses += reasons[miss]
	}
	return l, nil
}

// reasonsOf is the sum of both programs' counters in the output of lbctl stats.
func reasonsOf(stats []byte) (map[string]uint64, error) {
	type count struct {
		Name    string `json:"name"`
		Packets uint64 `json:"packets"`
	}
	var v struct {
		XDP []count `json:"xdp"`
		TC  []count `json:"tc"`
	}
	if err := json.Unmarshal(stats, &v); err != nil {
		return nil, fmt.Errorf("read lbctl stats: %w", err)
	}
	sums := map[string]uint64{}
	for _, c := range append(v.XDP, v.TC...) {
		sums[c.Name] += c.Packets
	}
	if _, found := sums["flow_hit"]; !found {
		return nil, fmt.Errorf("read lbctl stats: no counter flow_hit in %.200s", stats)
	}
	return sums, nil
}

// A table is the memory of a flow table, mapped from its pin.
type table struct {
	m      *ebpf.Map
	memory *ebpf.Memory
	bucket int // bytes
	slot   int
	key    int // offset of the key word in a slot
}

// openTable maps the scenario's flow table; the caller closes it.
func (d *daemon) openTable() (*table, error) {
	t := &table{bucket: 64, slot: 16, key: 0}
	name := "flows4"
	if d.ipv6 {
		t.bucket, t.slot, t.key = 128, 32, 16
		name = "flows6"
	}
	path := filepath.Join(d.bpffs, "tarpon/v1/maps", name)
	m, err := ebpf.LoadPinnedMap(path, nil)
	if err != nil {
		return nil, fmt.Errorf("open flow table %s: %w", path, err)
	}
	if t.memory, err = m.Memory(); err != nil {
		m.Close()
		return nil, fmt.Errorf("map flow table %s: %w", path, err)
	}
	t.m = m
	return t, nil
}

func (t *table) close() error { return t.m.Close() }

// spread of the used slots over the buckets: used buckets, as a share of those
// that a perfect hash would use for as many flows. 1 is as good as chance; a
// weak hash leaves most buckets empty.
func (t *table) spread() (float64, error) {
	used, usedBuckets := 0, 0
	buckets := int(t.memory.Size()) / t.bucket
	b := make([]byte, t.bucket)
	for i := range buckets {
		if _, err := t.memory.ReadAt(b, int64(i*t.bucket)); err != nil {
			return 0, err
		}
		before := used
		for at := t.key; at < t.bucket; at += t.slot {
			if hostOrder.Uint64(b[at:]) != 0 {
				used++
			}
		}
		if used > before {
			usedBuckets++
		}
	}
	if used == 0 {
		return 0, nil
	}
	return float64(usedBuckets) / expectedBuckets(used, buckets), nil
}

// expectedBuckets is how many of the buckets are used after n random choices.
func expectedBuckets(n, buckets int) float64 {
	return float64(buckets) * -math.Expm1(float64(n)*math.Log1p(-1/float64(buckets)))
}

// clear empties the table; no frame may be on its way.
func (t *table) clear() error {
	zero := make([]byte, 1<<20)
	for at := 0; at < int(t.memory.Size()); at += len(zero) {
		n := min(len(zero), int(t.memory.Size())-at)
		if _, err := t.memory.WriteAt(zero[:n], int64(at)); err != nil {
			return fmt.Errorf("clear flow table: %w", err)
		}
	}
	return nil
}
