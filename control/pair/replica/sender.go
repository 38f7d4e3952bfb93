package replica

import (
	"encoding/binary"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

const (
	// frameSize is when a batch goes: one TLS record holds it whole.
	frameSize = 15 << 10
	// window bounds what is not acknowledged. The receiver has room for as much, so it
	// always reads: two routers that send at once cannot wait for each other.
	window        = 512 << 10
	windowBatches = 64
)

// A sender tells this router's flows to the other one: a stream of numbered batches,
// each kept until it is acknowledged. A stream that breaks is begun anew, with what was
// not acknowledged; so nothing that was marked as sent is forgotten.
type sender struct {
	table  Table
	hashes *hashes
	emit   func(frame []byte)

	protocol int // that the other router speaks too
	stream   streamID
	sequence uint64 // of the last batch
	// retold is the last batch of what an earlier stream may have delivered already.
	retold  uint64
	told    map[wireID]loader.BackendName
	base    map[wireID]loader.BackendName // likewise, of what is acknowledged
	batch   []byte
	names   []named // told in it
	changes []change
	ending  map[uint64]uint64 // flows whose end is on its way, and its batch
	unacked []sentBatch
	waiting int // bytes of unacked

	count Counts
}

type named struct {
	id   wireID
	name loader.BackendName
}

// A change is what an update adds to the sum of its flow's part.
type change struct {
	flow, by uint64
	end      bool
}

type sentBatch struct {
	sequence uint64
	at       time.Time
	body     []byte // operations
	names    []named
	changes  []change
}

// begin opens a new stream, with what the last one has not delivered.
func (s *sender) begin(now time.Time) {
	lost, base := append(s.unacked, sentBatch{body: s.batch, names: s.names}), s.base
	s.stream.number++
	s.sequence, s.waiting = 0, 0
	s.told, s.base = map[wireID]loader.BackendName{}, map[wireID]loader.BackendName{}
	s.batch, s.names, s.changes, s.unacked = nil, nil, nil, nil
	s.ending = map[uint64]uint64{}
	again := &resender{s: s, names: base}
	if again.names == nil {
		again.names = map[wireID]loader.BackendName{}
	}
	for _, b := range lost {
		_ = readBatch(b.body, again) // our own
		s.flushFull(now)
	}
	s.retold = s.sequence + 1
}

// asOf makes sums of this table those that it had when the other router had applied a
// batch, and no later one: only what that router has, or had, can be in its own. It
// cannot while that router may have had more by an earlier stream.
func (s *sender) asOf(applied uint64, of *sums) bool {
	if applied < s.retold || applied > s.sequence {
		return false
	}
	undo := func(changes []change) {
		for _, c := range changes {
			of[partOf(c.flow)] -= c.by
		}
	}
	undo(s.changes)
	for _, b := range s.unacked {
		if b.sequence > applied {
			undo(b.changes)
		}
	}
	return true
}

// A resender puts the updates of old batches into the present stream.
type resender struct {
	s     *sender
	names map[wireID]loader.BackendName
}

func (r *resender) name(id wireID, name loader.BackendName) { r.names[id] = name }
func (r *resender) anyPort(id wireID) (any, named bool) {
	name, ok := r.names[id]
	return name.Vip.Port() == 0, ok
}
func (r *resender) update(u *update)     { r.s.add(u, r.names[u.backend]) }
func (r *resender) lead(bool)            {}
func (r *resender) list(partSet)         {}
func (r *resender) listEnd()             {}
func (r *resender) digest(uint64, *sums) {}

func (s *sender) operation(op byte) { s.batch = append(s.batch, op) }
func (s *sender) list(set *partSet) { s.batch = appendParts(append(s.batch, opList), set) }

func (s *sender) digest(applied uint64, of *sums) { s.batch = appendDigest(s.batch, applied, of) }

// room says if more may be sent before something is acknowledged.
func (s *sender) room() bool {
	return s.waiting+len(s.batch) < window && len(s.unacked) < windowBatches
}

func (s *sender) lead(we bool) {
	op := byte(opLead)
	if we {
		op |= opNews
	}
	s.operation(op)
}

// add puts an update into the batch, and the meaning of its backend's id before it, if
// the stream has not said it.
func (s *sender) add(u *update, name loader.BackendName) {
	if s.told[u.backend] != name {
		s.told[u.backend] = name
		s.names = append(s.names, named{u.backend, name})
		s.batch = appendName(s.batch, u.backend, name)
	}
	s.batch = appendUpdate(s.batch, u, name.Vip.Port() == 0)
}

// entry tells an entry of the table, by the bits that it had before it was marked.
func (s *sender) entry(e *loader.Entry, end, news bool) {
	of, ok := s.hashes.of(e.Backend)
	if !ok {
		s.count.Nameless++ // cannot be while an entry has it
		return
	}
	if end {
		s.count.Ends++
	} else {
		s.count.Puts++
	}
	if has := e.Flags&loader.FlowSent != 0; has == end {
		flow := flowHash(e.Client, e.VipPort, of.vip)
		by := contribution(flow, of.real)
		if end {
			by = -by
			s.ending[flow] = s.sequence + 1
		}
		s.changes = append(s.changes, change{flow, by, end})
	}
	s.add(&update{
		end: end, news: news, generation: e.Flags&loader.FlowGeneration != 0, state: e.State,
		client: e.Client, backend: wireID(e.Backend), vipPort: e.VipPort, age: e.Idle,
	}, of.name)
}

// marked tells an entry that a scan has marked.
func (s *sender) marked(e *loader.Entry, mark loader.Mark) {
	switch mark {
	case loader.MarkSent:
		s.entry(e, false, true)
	case loader.MarkUnsent, loader.GiveBack:
		s.entry(e, true, false)
	}
}

// flushFull sends the batch if it is as long as one should be.
func (s *sender) flushFull(now time.Time) {
	if len(s.batch) >= frameSize {
		s.flush(now)
	}
}

// flush sends the batch, if there is one.
func (s *sender) flush(now time.Time) {
	if len(s.batch) == 0 {
		return
	}
	s.sequence++
	frame := appendHead(make([]byte, 0, len(s.batch)+32), frameBatch, s.stream, s.sequence)
	head := len(frame)
	if nextProtocol && s.protocol > 1 {
		frame = append(frame, opNext)
	}
	frame = append(frame, s.batch...)
	s.unacked = append(s.unacked, sentBatch{s.sequence, now, frame[head:], s.names, s.changes})
	s.waiting += len(frame) - head
	s.count.Batches++
	s.count.Bytes += uint64(len(frame))
	s.batch, s.names, s.changes = s.batch[:0], nil, nil
	s.emit(frame)
}

// acknowledged forgets what the other router has applied. False: it cannot have.
func (s *sender) acknowledged(sequence uint64) bool {
	if sequence > s.sequence {
		return false
	}
	n := 0
	for ; n < len(s.unacked) && s.unacked[n].sequence <= sequence; n++ {
		s.waiting -= len(s.unacked[n].body)
		for _, of := range s.unacked[n].names {
			s.base[of.id] = of.name
		}
		for _, c := range s.unacked[n].changes {
			if c.end && s.ending[c.flow] == s.unacked[n].sequence {
				delete(s.ending, c.flow)
			}
		}
	}
	s.unacked = s.unacked[n:]
	return true
}

// oldest is how long the oldest batch has been waiting for its acknowledgement.
func (s *sender) oldest(now time.Time) time.Duration {
	if len(s.unacked) == 0 {
		return 0
	}
	return now.Sub(s.unacked[0].at)
}

func appendFacts(b []byte, f *facts) []byte {
	var flags byte
	for bit, set := range []bool{f.bulk, f.equal} {
		if set {
			flags |= 1 << bit
		}
	}
	return binary.AppendUvarint(append(b, byte(frameFacts), flags), uint64(f.oldest/time.Millisecond))
}

// facts are one router's view of what it has sent.
type facts struct {
	bulk, equal bool
	oldest      time.Duration
}

func readFacts(body []byte) (f facts, err error) {
	c := cursor{rest: body}
	flags := c.byte()
	f = facts{bulk: flags&1 != 0, equal: flags&2 != 0}
	f.oldest = time.Duration(c.uvarint(1<<40)) * time.Millisecond
	return f, c.err()
}
