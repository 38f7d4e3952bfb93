package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// window is how long one rate is measured; warmup comes before it.
const (
	window = 400 * time.Millisecond
	warmup = 100 * time.Millisecond
)

// A result is one path in one scenario.
type result struct {
	Path   path
	Mpps   float64 // median
	Added  float64 // nanoseconds over the bare redirect, median of the rounds
	Hits   uint64
	Misses uint64
	Spread float64 // of the flow table's buckets; 0: not known
}

// A track is a subject that is ready on a lane of its own.
type track struct {
	name     subjectName
	lane     *lane
	subject  subject
	counters map[direction]*counter
	sources  map[direction]*source
	ordered  *source // new flows
}

func (t *track) close() error {
	var errs []error
	for _, s := range t.sources {
		errs = append(errs, s.close())
	}
	if t.ordered != nil {
		errs = append(errs, t.ordered.close())
	}
	for _, c := range t.counters {
		c.close()
	}
	if t.subject != nil {
		errs = append(errs, t.subject.close())
	}
	return errors.Join(append(errs, t.lane.close())...)
}

// newTrack makes a subject's lane, starts it, and fills its flow table.
func newTrack(ctx context.Context, number int, name subjectName, s scenario, tools *tools) (_ *track, err error) {
	t := &track{name: name, counters: map[direction]*counter{}, sources: map[direction]*source{}}
	if t.lane, err = newLane(number, scenarioReals); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", name, err), t.close())
		}
	}()
	for _, d := range []direction{inbound, reply} {
		if t.counters[d], err = newCounter(t.lane, s.Kind, d, s.Flows); err != nil {
			return nil, err
		}
	}
	t.subject = newSubject(name, tools)
	if err := t.subject.start(ctx, t.lane, s); err != nil {
		return nil, err
	}
	if t.subject.stateful() && !s.New {
		if err := t.fill(ctx, s); err != nil {
			return nil, fmt.Errorf("fill the flow table: %w", err)
		}
	}
	for _, d := range []direction{inbound, reply} {
		o := t.options(s, d)
		if t.sources[d], err = newSource(t.lane, o); err != nil {
			return nil, err
		}
	}
	if s.New {
		o := t.options(s, inbound)
		o.ordered = true
		t.ordered, err = newSource(t.lane, o)
	}
	return t, err
}

func (t *track) options(s scenario, d direction) sourceOptions {
	return sourceOptions{
		kind: s.Kind, d: d, flows: s.Flows, to: t.name.destination(s.Kind), learned: t.counters[inbound].learned(),
	}
}

// fills is how often the flows are begun at most. The generator is not slowed down, and
// a busy machine loses frames.
const fills = 10

// fill begins every flow, and has each answered, so that hits are of established ones.
// A reply that does not come from its flow's own real is none: there is no measuring
// before the real of every flow was seen. What came of filling is forgotten.
func (t *track) fill(ctx context.Context, s scenario) error {
	first := established
	if s.Kind.TCP {
		first = opening
	}
	at := t.counters[inbound]
	if err := errors.Join(at.forget(s.Flows), at.learn(true)); err != nil {
		return err
	}
	for unknown, pass := s.Flows, 0; unknown > 0; pass++ {
		if pass == fills {
			return fmt.Errorf("%d of %d flows have not reached a real in %d passes", unknown, s.Flows, fills)
		}
		err := t.pass(ctx, s, inbound, first)
		if err == nil {
			unknown, err = at.unknown(s.Flows)
		}
		if err != nil {
			return err
		}
	}
	err := errors.Join(t.pass(ctx, s, reply, first), t.pass(ctx, s, inbound, established),
		at.learn(false), at.reset(), t.counters[reply].reset())
	if err != nil {
		return err
	}
	return t.filled(s)
}

// pass sends one frame of every flow.
func (t *track) pass(ctx context.Context, s scenario, d direction, phase tcpPhase) error {
	o := t.options(s, d)
	o.ordered, o.phase = true, phase
	source, err := newSource(t.lane, o)
	if err != nil {
		return err
	}
	run, err := source.start(ctx, []int{measureCPU}, uint32(s.Flows))
	if err == nil {
		err = run.wait()
	}
	return errors.Join(err, source.close())
}

// filled refuses a kernel table that lacks flows: one that forgets is fast. What
// Tarpon's lacks shows as misses.
func (t *track) filled(s scenario) error {
	kernel, ok := t.subject.(*kernelNAT)
	if !ok {
		return nil
	}
	flows, err := kernel.flows()
	if err == nil && flows < s.Flows*99/100 {
		err = fmt.Errorf("it tracks %d of %d flows", flows, s.Flows)
	}
	return err
}

// measureCPU makes the frames; the bench itself keeps off it.
const measureCPU = 1

func cpus(s scenario) []int {
	if s.Cores > 1 {
		return []int{0, 1}
	}
	return []int{measureCPU}
}

// rate measures one window of one path, in frames per second.
func (t *track) rate(ctx context.Context, s scenario, d direction) (float64, error) {
	counter, source := t.counters[d], t.sources[d]
	if s.New {
		return t.rateNew(ctx, s)
	}
	run, err := source.start(ctx, cpus(s), unlimited)
	if err != nil {
		return 0, err
	}
	time.Sleep(warmup)
	before, err := counter.read()
	if err == nil {
		time.Sleep(window)
	}
	after, errAfter := counter.read()
	if err := errors.Join(err, errAfter, run.stop()); err != nil {
		return 0, err
	}
	rate := 0.0
	for i := range after {
		if ns := after[i].StampNs - before[i].StampNs; ns > 0 && before[i].StampNs > 0 {
			rate += float64(after[i].StampFrames-before[i].StampFrames) * 1e9 / float64(ns)
		}
	}
	if rate == 0 {
		return 0, fmt.Errorf("%s: no frame came through", path{way{t.name, s.Kind}, d})
	}
	return rate, nil
}

// rateNew measures while every frame begins a flow, in an empty table up to its
// configured maximum.
func (t *track) rateNew(ctx context.Context, s scenario) (float64, error) {
	if d, ok := t.subject.(*daemon); ok {
		table, err := d.openTable()
		if err == nil {
			err = errors.Join(table.clear(), table.close())
		}
		if err != nil {
			return 0, err
		}
	}
	counter := t.counters[inbound]
	if err := errors.Join(counter.reset(), t.ordered.rewind()); err != nil {
		return 0, err
	}
	run, err := t.ordered.start(ctx, []int{measureCPU}, uint32(s.Flows))
	if err == nil {
		err = run.wait()
	}
	if err != nil {
		return 0, err
	}
	counted, err := counter.read()
	if err != nil {
		return 0, err
	}
	c := counted[measureCPU]
	if c.StampNs <= c.FirstNs {
		return 0, errors.New("too few new flows came through")
	}
	return float64(c.StampFrames-c.FirstFrames) * 1e9 / float64(c.StampNs-c.FirstNs), nil
}

// measure runs a scenario: every path once a round, so that what the machine does
// meanwhile meets all of them.
func measure(ctx context.Context, s scenario, rounds int, tools *tools, progress func(string)) (results []result, err error) {
	tracks := map[way]*track{}
	defer func() {
		for _, t := range tracks {
			err = errors.Join(err, t.close())
		}
	}()
	paths := s.paths()
	for i, p := range paths {
		if tracks[p.way] != nil {
			continue
		}
		progress("preparing " + string(p.Subject))
		t, err := newTrack(ctx, i, p.Subject, s.of(p.Kind), tools)
		if err != nil {
			return nil, err
		}
		tracks[p.way] = t
	}
	if err := keepOff([]int{measureCPU}); err != nil {
		return nil, err
	}
	rates := map[path][]float64{}
	results = make([]result, len(paths))
	for round := range rounds {
		progress(fmt.Sprintf("round %d of %d", round+1, rounds))
		for i, p := range paths {
			t := tracks[p.way]
			before, err := t.subject.lookups(ctx)
			if err != nil {
				return nil, err
			}
			rate, err := t.rate(ctx, s.of(p.Kind), p.D)
			if err != nil {
				return nil, err
			}
			rates[p] = append(rates[p], rate)
			if before != nil {
				after, err := t.subject.lookups(ctx)
				if err != nil {
					return nil, err
				}
				delta := after.since(*before)
				results[i].Hits += delta.Hits
				results[i].Misses += delta.Misses
			}
		}
	}
	for i, p := range paths {
		t := tracks[p.way]
		if err := t.counters[p.D].check(p.Subject.hops(), p.Subject.peer(p.Kind, p.D)); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		results[i].Path, results[i].Mpps = p, median(rates[p])/1e6
		results[i].Added = median(added(rates[p], rates[p.beside(redirect)]))
		if d, ok := t.subject.(*daemon); ok {
			if results[i].Spread, err = spreadOf(d); err != nil {
				return nil, err
			}
		}
	}
	return results, nil
}

func spreadOf(d *daemon) (float64, error) {
	table, err := d.openTable()
	if err != nil {
		return 0, err
	}
	spread, err := table.spread()
	return spread, errors.Join(err, table.close())
}

// added is each round's cost over the bare redirect's of the same round and
// direction (replies cost their generator more: it looks up each flow's real), in
// nanoseconds a packet.
func added(rates, bare []float64) []float64 {
	list := make([]float64, len(rates))
	for i := range rates {
		list[i] = 1e9/rates[i] - 1e9/bare[i]
	}
	return list
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	if len(sorted) == 0 {
		return 0
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
