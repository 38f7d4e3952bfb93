package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

// hostOrder is the byte order of the machines that the bench runs on.
var hostOrder = binary.LittleEndian

// A counter counts the bench's frames at an end of a lane and drops them.
type counter struct {
	kind    kind
	d       direction
	objects *ebpf.Collection
}

// newCounter attaches a counter to the end of lane l that frames in direction d
// reach. It has room to learn the reals of `flows` flows. The caller closes it.
func newCounter(l *lane, k kind, d direction, flows int) (*counter, error) {
	c, err := loadBenchPart(map[string]any{
		benchVarFrameLength: uint32(k.frameLength()), benchVarFrameProtocol: uint32(k.protocol()),
		benchVarNumberOffset: uint32(k.number()), benchVarRealBase: uint32(realBase),
	}, benchProgCount, nil, func(spec *ebpf.CollectionSpec) {
		spec.Maps[benchMapLearned].MaxEntries = uint32(flows+7) / 8
	})
	if err != nil {
		return nil, fmt.Errorf("load counter: %w", err)
	}
	at := l.s0
	if d == reply {
		at = l.g0
	}
	if err := l.attach(at, c.Programs[benchProgCount]); err != nil {
		c.Close()
		return nil, err
	}
	return &counter{kind: k, d: d, objects: c}, nil
}

// learned is the map of each flow's real.
func (c *counter) learned() *ebpf.Map { return c.objects.Maps[benchMapLearned] }

// learn starts or ends noting every flow's real.
func (c *counter) learn(on bool) error {
	return c.objects.Variables[benchVarLearning].Set(flag32(on))
}

// noReal stands for the real of a flow that none was seen of.
const noReal = 0xff

// forget makes the reals of flows 0..flows-1 unknown.
func (c *counter) forget(flows int) error {
	lines := (flows + 7) / 8
	numbers, reals := make([]uint32, lines), make([][8]byte, lines)
	for i := range lines {
		numbers[i] = uint32(i)
		reals[i] = [8]byte{noReal, noReal, noReal, noReal, noReal, noReal, noReal, noReal}
	}
	if _, err := c.learned().BatchUpdate(numbers, reals, nil); err != nil {
		return fmt.Errorf("forget the flows' reals: %w", err)
	}
	return nil
}

// unknown counts the flows that no real was seen of since forget.
func (c *counter) unknown(flows int) (n int, err error) {
	lines := (flows + 7) / 8
	numbers, reals := make([]uint32, lines), make([][8]byte, lines)
	var cursor ebpf.MapBatchCursor
	read, err := c.learned().BatchLookup(&cursor, numbers, reals, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) || read != lines {
		return 0, fmt.Errorf("read the flows' reals, %d of %d lines: %w", read, lines, err)
	}
	for flow := range flows {
		if reals[flow/8][flow%8] == noReal {
			n++
		}
	}
	return n, nil
}

// read returns what every CPU has counted. A stamp's two words are read
// together: read again while they change.
func (c *counter) read() ([]benchCounted, error) {
	var last []benchCounted
	for range 100 {
		var now []benchCounted
		if err := c.objects.Maps[benchMapSink].Lookup(uint32(0), &now); err != nil {
			return nil, fmt.Errorf("read counter: %w", err)
		}
		if last != nil && sameStamps(last, now) {
			return now, nil
		}
		last = now
	}
	return nil, errors.New("read counter: it never stood still")
}

func sameStamps(a, b []benchCounted) bool {
	for i := range a {
		if a[i].StampNs != b[i].StampNs || a[i].StampFrames != b[i].StampFrames {
			return false
		}
	}
	return true
}

// reset forgets everything; no frame may be on its way.
func (c *counter) reset() error {
	err := c.objects.Maps[benchMapSink].Put(uint32(0), make([]benchCounted, ebpf.MustPossibleCPU()))
	for i := range c.objects.Maps[benchMapSamples].MaxEntries() {
		err = errors.Join(err, c.objects.Maps[benchMapSamples].Put(i, benchSample{}))
	}
	return err
}

// check verifies the frames sampled since reset: at least one.
func (c *counter) check(hops int, peer func(netip.AddrPort) error) error {
	samples, seen := c.objects.Maps[benchMapSamples], 0
	for i := range samples.MaxEntries() {
		var s benchSample
		if err := samples.Lookup(i, &s); err != nil {
			return fmt.Errorf("read sample: %w", err)
		}
		if s == (benchSample{}) {
			continue
		}
		seen++
		if err := verify(s.Frame[:], c.kind, c.d, hops, peer); err != nil {
			return fmt.Errorf("a frame came out wrong: %w: % x", err, s.Frame[:c.kind.frameLength()])
		}
	}
	if seen == 0 {
		return errors.New("no frame came out")
	}
	return nil
}

func (c *counter) close() { c.objects.Close() }

// loadBenchPart loads one program of the bench's object and the maps it uses,
// with constants set and maps replaced (nil: its own).
func loadBenchPart(constants map[string]any, program string, replaced map[string]*ebpf.Map, edit ...func(*ebpf.CollectionSpec)) (*ebpf.Collection, error) {
	spec, err := loadBench()
	if err != nil {
		return nil, err
	}
	for name, value := range constants {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	for name := range spec.Programs {
		if name != program {
			delete(spec.Programs, name)
		}
	}
	for name, m := range replaced {
		if m == nil {
			delete(replaced, name)
			continue
		}
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	for _, e := range edit {
		e(spec)
	}
	return ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replaced})
}

func flag32(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
