package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

// A frame is one of these, by its first byte. All of a stream's frames name it: the
// incarnation of the sender (a random number of its process) and the stream's number
// in it. Numbers are varints (as of encoding/binary), ports and addresses in network
// byte order.
//
//	batch   incarnation 8, stream, sequence, then operations
//	answer  incarnation 8, stream, sequence applied last, verdict, [parts 128]
//	lost    incarnation 8, stream: begin anew
//	facts   flags, age in ms of the oldest update that is not acknowledged
type frameKind byte

const (
	frameBatch frameKind = iota + 1
	frameAnswer
	frameLost
	frameFacts
)

// What an answer says of the last digest, or list.
type answerKind byte

const (
	answerNone  answerKind = iota // only what was applied
	answerEqual                   // the tables hold the same flows
	answerWant                    // send these parts again
	answerAgain                   // compare again: the list is done, or an older stream may have been applied
)

// An operation's first byte has these, and of a put or end more.
const (
	opMask       = 0x07
	opPut        = 0 // client, port, backend, [vip port], age in seconds
	opEnd        = 1 // client, port, backend, [vip port]
	opName       = 2 // backend, protocol, vip's address and port, real's
	opList       = 3 // parts 128: all flows of these follow
	opListEnd    = 4
	opDigest     = 5 // the peer's sequence applied last, 1,024 sums of 8
	opLead       = 6 // with opBit: the sender leads
	opNext       = 7 // of the version after this, which only tests know
	opV6         = 1 << 3
	opGeneration = 1 << 4
	opStateShift = 5 // 2 bits, of a put: place in putStates
	opNews       = 1 << 7
)

// putStates are those that travel, as a put's two bits number them.
var putStates = [4]loader.State{loader.Established, loader.FinClient, loader.FinReal, loader.UDPReplied}

// Backend ids of the sender; the stream's dictionary says what they mean.
type wireID = uint16

// An update is a put or an end as it travels.
type update struct {
	end        bool
	news       bool // of a put: the flow was changed by a packet
	generation bool
	state      loader.State
	client     netip.AddrPort
	backend    wireID
	vipPort    uint16
	age        time.Duration // whole seconds
}

// appendUpdate adds an update to a batch; anyPort: its vip has every port.
func appendUpdate(b []byte, u *update, anyPort bool) []byte {
	op := byte(opPut)
	if u.end {
		op = opEnd
	}
	if u.client.Addr().Is6() {
		op |= opV6
	}
	if u.generation {
		op |= opGeneration
	}
	if u.news {
		op |= opNews
	}
	for place, state := range putStates {
		if state == u.state && !u.end {
			op |= byte(place) << opStateShift
		}
	}
	b = append(b, op)
	b = appendAddrPort(b, u.client)
	b = binary.AppendUvarint(b, uint64(u.backend))
	if anyPort {
		b = binary.BigEndian.AppendUint16(b, u.vipPort)
	}
	if !u.end {
		b = binary.AppendUvarint(b, uint64(u.age/time.Second))
	}
	return b
}

func appendAddrPort(b []byte, a netip.AddrPort) []byte {
	if a.Addr().Is4() {
		address := a.Addr().As4()
		b = append(b, address[:]...)
	} else {
		address := a.Addr().As16()
		b = append(b, address[:]...)
	}
	return binary.BigEndian.AppendUint16(b, a.Port())
}

// appendName defines what a backend id means from here on.
func appendName(b []byte, id wireID, name loader.BackendName) []byte {
	op := byte(opName)
	if name.Vip.Addr().Is6() {
		op |= opV6
	}
	b = binary.AppendUvarint(append(b, op), uint64(id))
	b = append(b, byte(name.Vip.Protocol))
	return appendAddrPort(appendAddrPort(b, name.Vip.AddrPort), name.Real)
}

func appendParts(b []byte, set *partSet) []byte {
	for _, word := range set {
		b = binary.BigEndian.AppendUint64(b, word)
	}
	return b
}

func appendDigest(b []byte, applied uint64, s *sums) []byte {
	b = binary.AppendUvarint(append(b, opDigest), applied)
	for _, sum := range s {
		b = binary.BigEndian.AppendUint64(b, sum)
	}
	return b
}

// A streamID is one stream of one process.
type streamID struct{ incarnation, number uint64 }

func appendHead(b []byte, kind frameKind, s streamID, sequence uint64) []byte {
	b = binary.BigEndian.AppendUint64(append(b, byte(kind)), s.incarnation)
	b = binary.AppendUvarint(b, s.number)
	if kind == frameLost {
		return b
	}
	return binary.AppendUvarint(b, sequence)
}

// errBroken: a frame that no version of Tarpon sends.
var errBroken = errors.New("a frame that is broken")

// A cursor reads fields; after the first that is not there, all are zero.
type cursor struct {
	rest   []byte
	broken bool
}

func (c *cursor) take(n int) []byte {
	if len(c.rest) < n {
		c.broken, c.rest = true, nil
		return make([]byte, n)
	}
	taken := c.rest[:n]
	c.rest = c.rest[n:]
	return taken
}

func (c *cursor) byte() byte     { return c.take(1)[0] }
func (c *cursor) uint16() uint16 { return binary.BigEndian.Uint16(c.take(2)) }
func (c *cursor) uint64() uint64 { return binary.BigEndian.Uint64(c.take(8)) }

func (c *cursor) uvarint(limit uint64) uint64 {
	value, n := binary.Uvarint(c.rest)
	if n <= 0 || value > limit {
		c.broken, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return value
}

func (c *cursor) addrPort(v6 bool) netip.AddrPort {
	var address netip.Addr
	if v6 {
		address = netip.AddrFrom16([16]byte(c.take(16)))
	} else {
		address = netip.AddrFrom4([4]byte(c.take(4)))
	}
	return netip.AddrPortFrom(address, c.uint16())
}

func (c *cursor) parts() (set partSet) {
	for i := range set {
		set[i] = c.uint64()
	}
	return set
}

func (c *cursor) err() error {
	if c.broken {
		return errBroken
	}
	return nil
}

const (
	mostID  = 1<<16 - 1
	mostAge = 1 << 28 // seconds: more than the table's clock can tell
	most64  = 1<<64 - 1
)

// An operations' reader is told what a batch says, in its order.
type reader interface {
	name(id wireID, name loader.BackendName)
	// anyPort says if the id has been named, and if its vip has every port.
	anyPort(id wireID) (any, named bool)
	update(u *update) // which is valid until it returns
	lead(bool)
	list(partSet)
	listEnd()
	digest(applied uint64, s *sums)
}

// readBatch reads all operations, or fails without a word about what follows.
func readBatch(body []byte, r reader) error {
	c := cursor{rest: body}
	var u update // one for all: it is given away by an interface
	for len(c.rest) > 0 {
		op := c.byte()
		switch op & opMask {
		case opPut, opEnd:
			readUpdate(&c, op, &u, r)
		case opName:
			readName(&c, op, r)
		case opList:
			if set := c.parts(); !c.broken {
				r.list(set)
			}
		case opListEnd:
			r.listEnd()
		case opLead:
			r.lead(op&opNews != 0)
		case opDigest:
			var s sums
			applied := c.uvarint(most64)
			for i := range s {
				s[i] = c.uint64()
			}
			if !c.broken {
				r.digest(applied, &s)
			}
		case opNext:
			c.broken = !nextProtocol
		default:
			return fmt.Errorf("%w: operation %d", errBroken, op&opMask)
		}
		if c.broken {
			return errBroken
		}
	}
	return nil
}

func readUpdate(c *cursor, op byte, u *update, r reader) {
	*u = update{
		end: op&opMask == opEnd, news: op&opNews != 0, generation: op&opGeneration != 0,
		state: putStates[op>>opStateShift&3], client: c.addrPort(op&opV6 != 0), backend: wireID(c.uvarint(mostID)),
	}
	any, named := r.anyPort(u.backend)
	if !named {
		c.broken = true
		return
	}
	if any {
		u.vipPort = c.uint16()
	}
	if u.end {
		u.state = 0
	} else {
		u.age = time.Duration(c.uvarint(mostAge)) * time.Second
	}
	if !c.broken {
		r.update(u)
	}
}

func readName(c *cursor, op byte, r reader) {
	v6 := op&opV6 != 0
	id := wireID(c.uvarint(mostID))
	protocol := loader.Protocol(c.byte())
	name := loader.BackendName{
		Vip:  loader.Endpoint{AddrPort: c.addrPort(v6), Protocol: protocol},
		Real: c.addrPort(v6),
	}
	if protocol != loader.TCP && protocol != loader.UDP || id == 0 {
		c.broken = true
	}
	if !c.broken {
		r.name(id, name)
	}
}
