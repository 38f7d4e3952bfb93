package loader

import (
	"errors"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// meaning is what backends' ids mean. Who writes an id that it read as a name holds it
// meanwhile, so that the id cannot be another's then.
type meaning struct {
	sync.RWMutex
	changes uint64
}

// change is Lock, by who may change it.
func (m *meaning) change() {
	m.Lock()
	m.changes++
}

// A Replication is the flow tables as who replicates them needs them. Pages are
// numbered, those of IPv4 before those of IPv6. It is one goroutine's, beside which
// everything else may go on; all methods but Hold and Release are called in between.
// Between two Holds the tables may have become others, with other pages (Resize).
type Replication struct {
	l      *Loader
	secret [2]uint64

	names    []backendName // by id
	backends map[BackendName]BackendID
	as       uint64 // meaning.changes when backends was made

	now    uint32   // at Hold
	queue  putQueue // waits for Flush
	flying putQueue // is on its way into the table
	landed chan struct{}
	full   int // puts that found no slot, since Settle
	err    error
}

// A putQueue is new entries, and the places of their identities' hashes.
type putQueue struct {
	puts []FlowPut
	vips []VipID
	at   map[uint64]int
}

type backendName struct {
	identity xdpBackend // flags and hop left out
	name     BackendName
}

// Replication opens the tables to replication. It takes as long as the kernel takes to
// check the program of PutFlows, so that no flow has to wait for that.
func (l *Loader) Replication() (*Replication, error) {
	secret, err := l.pins.secrets()
	if err != nil {
		return nil, err
	}
	_, err = l.PutFlows(nil)
	return &Replication{
		l: l, secret: secret, as: ^uint64(0),
		names: make([]backendName, maxBackends), queue: putQueue{at: map[uint64]int{}}, flying: putQueue{at: map[uint64]int{}},
	}, err
}

// HoldReplicated has sweeps end no flow that the other router has: it says when they
// end. For the time in which that router is alive and active. May be called
// concurrently.
func (l *Loader) HoldReplicated(hold bool) { l.held.Store(hold) }

// RenewReplicated gives every flow that came from the other router, or is there, a full
// timeout of its state from now on: to be called when this router takes over. May be
// called concurrently.
func (l *Loader) RenewReplicated() {
	tables, done := l.readFlows()
	defer done()
	now := clock()
	for _, t := range tables.both() {
		for slot := range t.slots() {
			for range 4 {
				value := atomic.LoadUint64(t.valueAt(slot))
				if atomic.LoadUint64(t.keyAt(slot)) == 0 || valueState(value) <= stateGone || valueFlags(value)&FlowSent == 0 ||
					atomic.CompareAndSwapUint64(t.valueAt(slot), value, value&(1<<40-1)|uint64(now)<<40) {
					break
				}
			}
		}
	}
}

// Hold keeps backends' ids from changing their meaning, and the tables from being
// replaced, until Release. Apply and Resize wait; and it waits itself until tables that
// were replaced are whole. Ages are reckoned from this moment on.
func (r *Replication) Hold() {
	r.l.partial.RLock()
	r.l.meaning.RLock()
	r.now = clock()
}

// Release ends Hold; what was flushed is in the table then.
func (r *Replication) Release() {
	r.land()
	r.l.meaning.RUnlock()
	r.l.partial.RUnlock()
}

// Pages is how many there are.
func (r *Replication) Pages() int { return r.l.flows.four.pages() + r.l.flows.six.pages() }

// table is the one of a page, and the page's number in it.
func (r *Replication) table(page int) (*flowTable, int) {
	tables := r.l.flows
	if n := tables.four.pages(); page >= n {
		return &tables.six, page - n
	}
	return &tables.four, page
}

// NextDirty is the first page from one on that was written to since it was last taken;
// Pages() if there is none.
func (r *Replication) NextDirty(from int) int {
	for from < r.Pages() {
		t, page := r.table(from)
		if next := t.nextDirty(page); next < t.pages() {
			return from + next - page
		}
		from += t.pages() - page
	}
	return from
}

func (t *flowTable) nextDirty(page int) int {
	for ; page < t.pages() && page&7 != 0; page++ {
		if t.dirty[page] != 0 {
			return page
		}
	}
	for ; page+8 <= t.pages(); page += 8 {
		if word := atomic.LoadUint64((*uint64)(unsafe.Pointer(&t.dirty[page]))); word != 0 {
			return page + bits.TrailingZeros64(word)/8
		}
	}
	for ; page < t.pages() && t.dirty[page] == 0; page++ {
	}
	return page
}

// Dirty says if a page was written to since it was last taken.
func (r *Replication) Dirty(page int) bool {
	t, page := r.table(page)
	return t.dirty[page] != 0
}

// TakeDirty makes a page clean, and says if it was not. It is a whole barrier: what is
// read of the page after is not older than the write that a later look finds dirty.
func (r *Replication) TakeDirty(page int) bool {
	t, page := r.table(page)
	if t.dirty[page] == 0 {
		return false
	}
	word := (*uint32)(unsafe.Pointer(&t.dirty[page&^3]))
	shift := 8 * (page & 3)
	return atomic.AndUint32(word, ^uint32(0xff<<shift))>>shift&0xff != 0
}

// Scan marks a page's entries by their bits, and tells those that were marked, as they
// were before; those that have ended first. all: those besides that the other router
// has. What begins to be sent was marked already when it is told; what ends, not yet: so
// its backend's id means what it did. The entry is valid until tell returns.
func (r *Replication) Scan(page int, marks *Marks, all bool, tell func(*Entry, Mark)) {
	t, page := r.table(page)
	first := page * pageSize / 8 / t.layout.words
	count := pageSize / 8 / t.layout.words
	s := scan{t: t, marks: marks, now: r.now, tell: tell}
	later := false
	for slot := first; slot < first+count; slot++ {
		value := atomic.LoadUint64(t.valueAt(slot))
		mark := marks[uint8(value>>32)]
		switch {
		case mark == GiveBack:
			s.visit(slot)
		case mark != Leave || all && valueFlags(value)&FlowSent != 0:
			later = true
		}
	}
	if !later {
		return
	}
	for slot := first; slot < first+count; slot++ {
		value := atomic.LoadUint64(t.valueAt(slot))
		mark := marks[uint8(value>>32)]
		if mark != Leave && mark != GiveBack || all && mark == Leave && valueFlags(value)&FlowSent != 0 {
			s.visit(slot)
		}
	}
}

type scan struct {
	t     *flowTable
	marks *Marks
	now   uint32
	tell  func(*Entry, Mark)
	entry Entry
}

// visit marks one entry. A change meanwhile makes it another entry: it is looked at
// again.
func (s *scan) visit(slot int) {
	for range 8 {
		key := atomic.LoadUint64(s.t.keyAt(slot))
		value := atomic.LoadUint64(s.t.valueAt(slot))
		if key == 0 {
			return
		}
		client := s.t.client(slot, key)
		if atomic.LoadUint64(s.t.keyAt(slot)) != key {
			continue
		}
		s.entry = Entry{Flow{
			Client: client, Vip: s.t.vip(key), Backend: valueBackend(value), VipPort: valueVipPort(value),
			State: valueState(value), Idle: idle(value, s.now),
		}, valueFlags(value)}
		if s.mark(slot, key, value) {
			return
		}
	}
}

func (s *scan) mark(slot int, key, value uint64) bool {
	const flags = uint64(FlowChanged|FlowSent) << 32
	at := s.t.valueAt(slot)
	switch mark := s.marks[uint8(value>>32)]; mark {
	case MarkSent:
		if !atomic.CompareAndSwapUint64(at, value, value&^flags|uint64(FlowSent)<<32) {
			return false
		}
		s.tell(&s.entry, mark)
	case MarkUnsent:
		s.tell(&s.entry, mark)
		return atomic.CompareAndSwapUint64(at, value, value&^flags)
	case GiveBack:
		s.tell(&s.entry, mark)
		if atomic.CompareAndSwapUint64(at, value, value&^flags) {
			atomic.CompareAndSwapUint64(s.t.keyAt(slot), key, 0)
		}
	default:
		s.tell(&s.entry, mark)
	}
	return true
}

// Name is what a backend's id means. An id that an entry has does not change it.
func (r *Replication) Name(id BackendID) (BackendName, bool) {
	record := &r.l.memory.backends[id]
	if record.VipId == 0 {
		return BackendName{}, false
	}
	known := &r.names[id]
	identity := identityOf(record)
	if known.identity != identity {
		v6 := record.Flags&backendIPv6 != 0
		*known = backendName{identity, BackendName{
			Vip:  Endpoint{netip.AddrPortFrom(fromAddress(record.Vip, v6), hostPort(record.VipPort)), Protocol(record.Protocol)},
			Real: netip.AddrPortFrom(fromAddress(record.Real, v6), hostPort(record.RealPort)),
		}}
	}
	return known.name, true
}

func identityOf(record *xdpBackend) xdpBackend {
	return xdpBackend{
		Real: record.Real, Vip: record.Vip, RealPort: record.RealPort, VipPort: record.VipPort,
		VipId: record.VipId, Protocol: record.Protocol,
	}
}

// Takes says if a backend's id means this, and new flows may have it.
func (r *Replication) Takes(id BackendID, name BackendName) bool {
	is, ok := r.Name(id)
	return ok && is == name && r.l.memory.backends[id].Flags&backendRemoved == 0
}

// Backend is the one of a name, and its vip; false if none takes new flows.
func (r *Replication) Backend(name BackendName) (VipID, BackendID, bool) {
	if r.as != r.l.meaning.changes {
		r.as, r.backends = r.l.meaning.changes, map[BackendName]BackendID{}
		for id := range r.l.memory.backends {
			if is, ok := r.Name(BackendID(id)); ok && r.Takes(BackendID(id), is) {
				r.backends[is] = BackendID(id)
			}
		}
	}
	id, ok := r.backends[name]
	return VipID(r.l.memory.backends[id].VipId), id, ok
}

// Timeout ends a flow of a vip that is silent in a state.
func (r *Replication) Timeout(vip VipID, state State) time.Duration {
	return time.Duration(r.l.memory.vips[vip].Seconds[state.timeout()]) * time.Second
}

// Merge has f say what becomes of a flow's entry, or (found: false) if one is to be
// made; f may be asked again when somebody else was faster. The entry that f returns has
// the client, vip and vip port of the flow. One that is new is in the table after Flush
// and Settle; until then only Merge knows it. What it could be mistaken for makes way.
func (r *Replication) Merge(flow Flow, f func(have Entry, found bool) (Entry, Act)) {
	t := &r.l.flows.four
	if flow.Client.Addr().Is6() {
		t = &r.l.flows.six
	}
	place := r.placeOf(t, &flow)
	if at, ok := r.queue.find(place.identity, &flow); ok {
		r.mergeQueued(place.identity, at, f)
		return
	}
	if _, ok := r.flying.find(place.identity, &flow); ok {
		r.land()
	}
	for range 8 {
		slot, word, value := r.find(t, &place, &flow)
		if slot < 0 {
			if put, act := f(Entry{}, false); act == Write {
				r.makeWay(t, &put.Flow)
				r.queue.add(place.identity, flow.Vip, putOfEntry(&put))
			}
			return
		}
		have := Entry{flow, valueFlags(value)}
		have.Backend, have.State = valueBackend(value), valueState(value)
		have.Idle = idle(value, r.now)
		switch is, act := f(have, true); act {
		case Write:
			r.makeWay(t, &is.Flow)
			if atomic.CompareAndSwapUint64(t.valueAt(slot), value, valueOf(&is, r.now)) {
				t.markDirty(slot)
				return
			}
		case End:
			const flags = uint64(FlowChanged|FlowSent) << 32
			if atomic.CompareAndSwapUint64(t.valueAt(slot), value, valueGone(value)&^flags) {
				atomic.CompareAndSwapUint64(t.keyAt(slot), word, 0)
				t.markDirty(slot)
				return
			}
		default:
			return
		}
	}
}

// mergeQueued is Merge with an entry that waits for Flush.
func (r *Replication) mergeQueued(identity uint64, at int, f func(Entry, bool) (Entry, Act)) {
	put := &r.queue.puts[at]
	have := Entry{Flow{
		Client: put.Client, Vip: r.queue.vips[at], Backend: put.Backend, VipPort: put.VipPort, State: put.State, Idle: put.Idle,
	}, put.Flags}
	switch is, act := f(have, true); act {
	case Write:
		*put = putOfEntry(&is)
	case End:
		put.Backend = 0
		delete(r.queue.at, identity)
	}
}

func putOfEntry(e *Entry) FlowPut {
	return FlowPut{Client: e.Client, Backend: e.Backend, VipPort: e.VipPort, State: e.State, Flags: e.Flags, Idle: e.Idle}
}

func (q *putQueue) add(identity uint64, vip VipID, put FlowPut) {
	q.at[identity] = len(q.puts)
	q.puts, q.vips = append(q.puts, put), append(q.vips, vip)
}

func (q *putQueue) find(identity uint64, flow *Flow) (at int, ok bool) {
	at, ok = q.at[identity]
	return at, ok && q.puts[at].Client == flow.Client && q.vips[at] == flow.Vip && q.puts[at].VipPort == flow.VipPort
}

// Flush begins to make the new entries, and does not wait for them: others may be
// merged meanwhile.
func (r *Replication) Flush() {
	if len(r.queue.puts) == 0 {
		return
	}
	r.land()
	r.queue, r.flying = r.flying, r.queue
	puts, landed := r.flying.puts, make(chan struct{})
	r.landed = landed
	go func() {
		defer close(landed)
		results, err := r.l.PutFlows(puts)
		for i, result := range results {
			refused := result.Outcome == PutFull || result.Outcome == PutRefused
			if refused && puts[i].Backend != 0 { // it has not ended meanwhile
				r.full++
			}
		}
		r.err = errors.Join(r.err, err)
	}()
}

// land waits for what was flushed.
func (r *Replication) land() {
	if r.landed == nil {
		return
	}
	<-r.landed
	r.landed = nil
	r.flying.puts, r.flying.vips = r.flying.puts[:0], r.flying.vips[:0]
	clear(r.flying.at)
}

// Settle is Flush, and waits. full is how many found no slot since it was last called;
// an error is the kernel's, and some may be missing.
func (r *Replication) Settle() (full int, err error) {
	r.Flush()
	r.land()
	full, err = r.full, r.err
	r.full, r.err = 0, nil
	return full, err
}

// find is the slot of a flow, its key and value; -1: none. Without a lock a flow that
// moves in this moment may be found in its old place or in its new one; either is right.
func (r *Replication) find(t *flowTable, place *place, flow *Flow) (slot int, key, value uint64) {
	for _, bucket := range place.buckets {
		first := place.page*pageSize/8/t.layout.words + bucket*bucketSlots
		for slot := first; slot < first+bucketSlots; slot++ {
			if atomic.LoadUint64(t.keyAt(slot)) != place.key || t.v6 && !place.sameAddress(t, slot) {
				continue
			}
			value := atomic.LoadUint64(t.valueAt(slot))
			if atomic.LoadUint64(t.keyAt(slot)) == place.key && valueState(value) > stateGone && valueVipPort(value) == flow.VipPort {
				return slot, place.key, value
			}
		}
	}
	return -1, 0, 0
}

// bucketSlots is FLOW_SLOTS of bpf/abi.h.
const bucketSlots = 4

// place is where a flow may lie: bpf/flow.h, flow_key.
type place struct {
	page    int
	buckets [2]int
	key     uint64
	address [2]uint64 // of an IPv6 client
	// identity is a hash of all of the flow, family left out.
	identity uint64
}

func (p *place) sameAddress(t *flowTable, slot int) bool {
	at := slot * t.layout.words
	return atomic.LoadUint64(&t.words[at]) == p.address[0] && atomic.LoadUint64(&t.words[at+1]) == p.address[1]
}

func (r *Replication) placeOf(t *flowTable, flow *Flow) (p place) {
	address := toAddress(flow.Client.Addr()).Words
	port, vipPort := uint64(networkPort(flow.Client.Port())), uint64(networkPort(flow.VipPort))
	secret := r.secret[0]
	if Protocol(r.l.memory.vips[flow.Vip].Protocol) == UDP {
		secret = r.secret[1]
	}
	mask := 63
	var hash uint64
	if t.v6 {
		p.address = [2]uint64{uint64(address[0]) | uint64(address[1])<<32, uint64(address[2]) | uint64(address[3])<<32}
		hash = mix64(mix64(p.address[1]^secret) ^ p.address[0] ^ (port<<16 | vipPort))
		p.key = port | uint64(flow.Vip)<<16 | hash<<32
		mask = 31
	} else {
		hash = mix64((uint64(address[0])<<32 | port<<16 | vipPort) ^ secret)
		p.key = uint64(address[0]) | port<<32 | uint64(flow.Vip)<<48
	}
	p.identity = hash ^ mix64(uint64(flow.Vip))
	p.page = int(hash>>32) & (t.pages() - 1)
	first, second := int(hash)&mask, int(hash>>6)&mask
	if second == first {
		second ^= 1
	}
	p.buckets = [2]int{first, second}
	return p
}

// mix64 is murmur3's finalizer: bpf/flow.h, mix.
func mix64(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}

// idle is how long a flow was silent until now.
func idle(value uint64, now uint32) time.Duration {
	return time.Duration(valueAge(value, now)) * tick
}

func valueOf(e *Entry, now uint32) uint64 {
	seen := (now - uint32(min(e.Idle/tick, clockMask/2))) & clockMask
	return uint64(e.Backend) | uint64(networkPort(e.VipPort))<<16 | uint64(e.State&0xf|State(e.Flags))<<32 | uint64(seen)<<40
}
