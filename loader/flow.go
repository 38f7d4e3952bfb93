package loader

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A State is where a flow is in its life (bpf/abi.h, enum flow_state).
type State uint8

const (
	stateNone State = iota
	stateGone
	Handshake
	Answered
	Established
	FinClient
	FinReal
	Closed
	UDPUnreplied
	UDPReplied
)

func (s State) String() string {
	names := [...]string{"none", "gone", "handshake", "answered", "established",
		"fin-client", "fin-real", "closed", "unreplied", "replied"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("state%d", uint8(s))
}

// timeout is the index of the state's timeout in a vip's record (bpf/flow.h,
// flow_timeout).
func (s State) timeout() int {
	switch s {
	case Handshake, Answered:
		return 0
	case Established:
		return 1
	case FinClient, FinReal:
		return 2
	case UDPReplied:
		return 4
	case UDPUnreplied:
		return 5
	}
	return 3
}

// A Flow is one entry of the flow table, as it was when it was read.
type Flow struct {
	Client  netip.AddrPort
	Vip     VipID
	Backend BackendID
	VipPort uint16 // of an any-port vip, else 0
	State   State
	Idle    time.Duration // since its last packet; granularity 1.07 s
}

// layout is how a slot lies in a table: bpf/flow.h.
type layout struct {
	words, key, value int // words of a slot; which of them are key and value
	vipShift          int // of the vip id in the key
	v6                bool
}

var (
	layout4 = layout{words: 2, key: 0, value: 1, vipShift: 48}
	layout6 = layout{words: 4, key: 2, value: 3, vipShift: 16, v6: true}
)

// flowTable is one mapped table. The program writes it at the same time; whoever
// touches it follows the protocol at the top of bpf/flow.h.
type flowTable struct {
	layout
	words []uint64
	dirty []byte
}

// The value's parts.
func valueBackend(v uint64) BackendID { return BackendID(v) }
func valueState(v uint64) State       { return State(v >> 32 & 0xf) }
func valueFlags(v uint64) FlowFlags   { return FlowFlags(v >> 32 & 0xf0) }
func valueVipPort(v uint64) uint16    { return hostPort(uint16(v >> 16)) }

// valueAge is how many ticks before now a packet was seen. One may have come since, in
// a later tick: that is 0, not the whole circle.
func valueAge(v uint64, now uint32) uint32 {
	age := (now - uint32(v>>40)) & clockMask
	if age > clockMask/2 {
		return 0
	}
	return age
}

// valueGone is the value of an ended flow, for who copies changes.
func valueGone(v uint64) uint64 {
	const state, gone, changed = uint64(0xf) << 32, uint64(stateGone) << 32, uint64(1) << 36
	return v&^state | gone | changed
}

// clock is the program's: ticks of CLOCK_MONOTONIC_COARSE.
func clock() uint32 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &now)
	return uint32(now.Nano()/int64(tick)) & clockMask
}

func (t *flowTable) slots() int { return len(t.words) / t.layout.words }
func (t *flowTable) pages() int { return len(t.words) * 8 / pageSize }

func (t *flowTable) keyAt(slot int) *uint64   { return &t.words[slot*t.layout.words+t.key] }
func (t *flowTable) valueAt(slot int) *uint64 { return &t.words[slot*t.layout.words+t.value] }

func (t *flowTable) vip(key uint64) VipID { return VipID(key >> t.vipShift) }

// read is one flow as a reader without a lock may take it: the key was the same
// before and after. False: free, ended, or changed in this moment.
func (t *flowTable) read(slot int, now uint32) (Flow, bool) {
	key := atomic.LoadUint64(t.keyAt(slot))
	if key == 0 {
		return Flow{}, false
	}
	value := atomic.LoadUint64(t.valueAt(slot))
	client := t.client(slot, key)
	if atomic.LoadUint64(t.keyAt(slot)) != key || valueState(value) <= stateGone {
		return Flow{}, false
	}
	return Flow{
		Client: client, Vip: t.vip(key), Backend: valueBackend(value), VipPort: valueVipPort(value),
		State: valueState(value), Idle: idle(value, now),
	}, true
}

func (t *flowTable) client(slot int, key uint64) netip.AddrPort {
	if !t.v6 {
		var address [4]byte
		binary.NativeEndian.PutUint32(address[:], uint32(key))
		return netip.AddrPortFrom(netip.AddrFrom4(address), hostPort(uint16(key>>32)))
	}
	first := atomic.LoadUint64(&t.words[slot*t.layout.words])
	second := atomic.LoadUint64(&t.words[slot*t.layout.words+1])
	address := xdpAddress{Words: [4]uint32{uint32(first), uint32(first >> 32), uint32(second), uint32(second >> 32)}}
	return netip.AddrPortFrom(fromAddress(address, true), hostPort(uint16(key)))
}

// end ends a flow if it still has this value: value first, key after, as bpf/flow.h
// says. What the other router has keeps its key, for replication to tell the end. False:
// somebody was faster, the flow lives or is another's.
func (t *flowTable) end(slot int, key, value uint64) bool {
	if !atomic.CompareAndSwapUint64(t.valueAt(slot), value, valueGone(value)) {
		return false
	}
	if valueFlags(value)&FlowSent == 0 {
		atomic.CompareAndSwapUint64(t.keyAt(slot), key, 0)
	}
	t.markDirty(slot)
	return true
}

func (t *flowTable) markDirty(slot int) {
	page := slot * t.layout.words * 8 / pageSize
	if page < len(t.dirty) {
		t.dirty[page] = 1
	}
}

// readFlows are the flow tables, for anybody and until done is called.
func (l *Loader) readFlows() (_ *flowTables, done func()) {
	l.replacing.RLock()
	defer l.replacing.RUnlock()
	t := l.flows
	t.RLock()
	return t, t.RUnlock
}

// Flows lists the flows of both families. It holds nothing: packets and the
// sweep go on, so a flow that comes, goes or moves meanwhile may be missed or
// seen twice. May be called concurrently.
func (l *Loader) Flows() iter.Seq[Flow] {
	return func(yield func(Flow) bool) {
		tables, done := l.readFlows()
		defer done()
		now := clock()
		for _, table := range tables.both() {
			for slot := range table.slots() {
				if flow, ok := table.read(slot, now); ok && !yield(flow) {
					return
				}
			}
		}
	}
}

// EndFlows ends the flows that match, at once, and says how many. May be called
// concurrently with everything but Sweep.
func (l *Loader) EndFlows(match func(Flow) bool) int {
	tables, done := l.readFlows()
	defer done()
	ended, now := 0, clock()
	for _, table := range tables.both() {
		for slot := range table.slots() {
			flow, ok := table.read(slot, now)
			if !ok || !match(flow) {
				continue
			}
			// A packet may change the time or state meanwhile; the flow is the same.
			for range 4 {
				key, value := atomic.LoadUint64(table.keyAt(slot)), atomic.LoadUint64(table.valueAt(slot))
				again, ok := table.read(slot, now)
				if !ok || again.Client != flow.Client || again.Vip != flow.Vip || again.VipPort != flow.VipPort {
					break
				}
				if table.end(slot, key, value) {
					ended++
					break
				}
			}
		}
	}
	return ended
}
