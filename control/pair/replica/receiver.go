package replica

import (
	"net/netip"

	"github.com/tarpon-lb/tarpon/loader"
)

// maxAside bounds the flows of unknown vips and reals that are kept.
const maxAside = 1 << 16

// listAtOnce is how many parts, of those that we have flows of, are asked for at once:
// of each flow of theirs we must remember that it was told.
const listAtOnce = 64

// A receiver takes the other router's flows into this one's table.
type receiver struct {
	table  Table
	hashes *hashes

	stream  streamID
	last    uint64              // batch applied
	retired map[uint64]struct{} // incarnations that are over
	names   map[wireID]*peerName
	leads   bool // the peer
	weLead  func() bool
	sender  *sender // our own

	listed  *listed
	differ  partSet // parts yet to be asked for
	absent  bool    // we have nothing in those that were asked for
	answers answer
	flows   int // at the last comparison

	merging merging
	aside   map[asideKey]asideFlow
	count   Counts
}

// peerName is what an id of the peer means, and to us.
type peerName struct {
	hashed
	vip     loader.VipID
	backend loader.BackendID
}

// listed is a list of parts that is being told, of which what is not told is to go;
// none, if nothing is.
type listed struct {
	parts partSet
	flows map[uint64]struct{} // hashes of those that were told
}

type asideKey struct {
	client  netip.AddrPort
	vipPort uint16
	vip     loader.Endpoint
}

type asideFlow struct {
	update
	of *peerName
}

// answer is what is to be said with the next acknowledgement.
type answer struct {
	kind answerKind
	want partSet
}

// take applies a batch. False: the stream has a gap, and must begin anew.
func (r *receiver) take(id streamID, sequence uint64, body []byte) (ok bool, err error) {
	if id != r.stream {
		if !r.follows(id) {
			return true, nil // late, of a stream that is over
		}
		if sequence != 1 {
			return false, nil
		}
		r.begin(id)
	}
	if sequence <= r.last {
		return true, nil
	}
	if sequence != r.last+1 {
		return false, nil
	}
	if err := readBatch(body, r); err != nil {
		return false, err
	}
	r.table.Flush()
	r.last = sequence
	return true, nil
}

// follows says if a stream can be the peer's next one.
func (r *receiver) follows(id streamID) bool {
	if id.incarnation == r.stream.incarnation {
		return id.number > r.stream.number
	}
	_, over := r.retired[id.incarnation]
	return !over
}

func (r *receiver) begin(id streamID) {
	if r.stream.incarnation != id.incarnation {
		if len(r.retired) >= 1024 {
			clear(r.retired)
		}
		r.retired[r.stream.incarnation] = struct{}{}
	}
	r.stream, r.last = id, 0
	r.names, r.listed, r.differ, r.answers = map[wireID]*peerName{}, nil, partSet{}, answer{}
}

// settle waits until the table has all that was taken.
func (r *receiver) settle() {
	full, err := r.table.Settle()
	r.count.Full += uint64(full)
	if err != nil {
		r.count.Failed = err
	}
}

func (r *receiver) name(id wireID, name loader.BackendName) {
	r.names[id] = &peerName{hashed: hashName(name)}
}

func (r *receiver) anyPort(id wireID) (any, named bool) {
	of := r.names[id]
	if of == nil {
		return false, false
	}
	return of.name.Vip.Port() == 0, true
}

func (r *receiver) lead(peer bool) { r.leads = peer }

func (r *receiver) rank() rank {
	switch we := r.weLead(); {
	case we == r.leads:
		return equals
	case we:
		return weLead
	}
	return peerLeads
}

// known says what a name means to us at this moment.
func (r *receiver) known(of *peerName) bool {
	if r.table.Takes(of.backend, of.name) {
		return true
	}
	var ok bool
	of.vip, of.backend, ok = r.table.Backend(of.name)
	return ok
}

func (r *receiver) update(u *update) {
	of := r.names[u.backend]
	if !u.end && r.listed != nil {
		if hash := flowHash(u.client, u.vipPort, of.hashed.vip); r.listed.parts.has(partOf(hash)) {
			r.listed.flows[hash] = struct{}{}
		}
	}
	delete(r.aside, asideKey{u.client, u.vipPort, of.name.Vip})
	if !r.known(of) {
		r.keepAside(u, of)
		return
	}
	r.merge(u, of)
}

func (r *receiver) merge(u *update, of *peerName) {
	m := &r.merging
	m.of, m.news, m.verdict = of, u.news, agreed
	m.told = loader.Entry{Flow: loader.Flow{
		Client: u.client, Vip: of.vip, Backend: of.backend, VipPort: u.vipPort, State: u.state, Idle: u.age,
	}}
	if u.generation {
		m.told.Flags = loader.FlowGeneration
	}
	if u.end {
		r.count.EndsTaken++
		r.table.Merge(m.told.Flow, m.end)
		return
	}
	r.count.PutsTaken++
	r.table.Merge(m.told.Flow, m.put)
	switch m.verdict {
	case dispute:
		r.count.Disputes++
	case repaired:
		r.count.Repaired++
	}
}

// A merging is the update at hand. It is made once: a copy of all flows is to make no
// garbage.
type merging struct {
	told    loader.Entry
	of      *peerName
	news    bool
	verdict verdict

	put, end func(have loader.Entry, found bool) (loader.Entry, loader.Act)
}

func (r *receiver) makeMerging() {
	m := &r.merging
	m.put = func(have loader.Entry, found bool) (loader.Entry, loader.Act) {
		m.verdict = agreed
		if !found && !m.news && r.isEnding(m) {
			return have, loader.Keep // they have not heard of it yet
		}
		if !found {
			m.told.Flags = m.told.Flags&loader.FlowGeneration | loader.FlowSent
			return m.told, loader.Write
		}
		var ours uint64
		if h, ok := r.hashes.of(have.Backend); ok {
			ours = h.real
		}
		var is loader.Entry
		is, m.verdict = merge(have, m.told, m.news, m.of.real, ours, r.rank())
		if is == have {
			return is, loader.Keep
		}
		return is, loader.Write
	}
	m.end = func(have loader.Entry, found bool) (loader.Entry, loader.Act) {
		if !found {
			return have, loader.Keep
		}
		return mergeEnd(have, m.told)
	}
}

// isEnding says if we have told the flow's end, and that is on its way.
func (r *receiver) isEnding(m *merging) bool {
	_, is := r.sender.ending[flowHash(m.told.Client, m.told.VipPort, m.of.hashed.vip)]
	return is
}

func (r *receiver) keepAside(u *update, of *peerName) {
	if u.end {
		return
	}
	if len(r.aside) >= maxAside {
		r.count.AsideLost++
		return
	}
	r.aside[asideKey{u.client, u.vipPort, of.name.Vip}] = asideFlow{*u, of}
}

// retry takes the flows in whose configuration has arrived.
func (r *receiver) retry() {
	for key, flow := range r.aside {
		if r.known(flow.of) {
			delete(r.aside, key)
			r.merge(&flow.update, flow.of)
		}
	}
	r.settle()
}

func (r *receiver) list(set partSet) {
	r.listed = &listed{}
	if r.rank() == peerLeads && !r.absent {
		r.listed.parts, r.listed.flows = set, map[uint64]struct{}{}
	}
}

// listEnd ends what the peer, who leads, does not have; and asks for more.
func (r *receiver) listEnd() {
	if r.listed == nil {
		return
	}
	r.settle()
	if !r.listed.parts.empty() {
		r.endUnlisted()
	}
	r.listed = nil
	r.want()
}

func (r *receiver) endUnlisted() {
	var over []loader.Flow
	r.each(func(e *loader.Entry, flow, _ uint64) {
		if e.Ended() {
			return
		}
		if _, told := r.listed.flows[flow]; !told && r.listed.parts.has(partOf(flow)) && e.Flags&loader.FlowChanged == 0 {
			over = append(over, e.Flow)
		}
	})
	for key, a := range r.aside {
		flow := flowHash(a.client, a.vipPort, a.of.hashed.vip)
		if _, told := r.listed.flows[flow]; !told && r.listed.parts.has(partOf(flow)) {
			delete(r.aside, key)
		}
	}
	for _, flow := range over {
		r.table.Merge(flow, func(have loader.Entry, found bool) (loader.Entry, loader.Act) {
			if !found || have.Flags&(loader.FlowChanged|loader.FlowSent) != loader.FlowSent {
				return have, loader.Keep
			}
			r.count.Unlisted++
			return have, loader.End
		})
	}
}

// each tells the flows of the table that the other router has, as far as this one has
// told it, with the hash of the flow and of its real's name: those too whose end is yet
// to be told.
func (r *receiver) each(tell func(e *loader.Entry, flow, real uint64)) {
	var none loader.Marks
	for page := range r.table.Pages() {
		r.table.Scan(page, &none, true, func(e *loader.Entry, _ loader.Mark) {
			if e.Flags&loader.FlowSent == 0 {
				return
			}
			if of, ok := r.hashes.of(e.Backend); ok {
				tell(e, flowHash(e.Client, e.VipPort, of.vip), of.real)
			}
		})
	}
}

// sums are the table's, and those of the flows aside.
func (r *receiver) sums() (s sums, flows int) {
	r.each(func(_ *loader.Entry, flow, real uint64) {
		s[partOf(flow)] += contribution(flow, real)
		flows++
	})
	r.addAside(&s)
	return s, flows
}

// addAside counts the flows aside as if they were in the table.
func (r *receiver) addAside(s *sums) {
	for _, a := range r.aside {
		flow := flowHash(a.client, a.vipPort, a.of.hashed.vip)
		s[partOf(flow)] += contribution(flow, a.of.real)
	}
}

// digest compares. What we told the other router since, it could not count.
func (r *receiver) digest(applied uint64, theirs *sums) {
	r.settle()
	ours, flows := r.sums()
	if !r.sender.asOf(applied, &ours) {
		r.answers = answer{kind: answerAgain}
		return
	}
	r.differ, r.flows = ours.differing(theirs), flows
	if r.differ.empty() {
		r.answers = answer{kind: answerEqual}
		return
	}
	r.count.Differed += uint64(r.differ.count())
	// Those of which we have nothing go first, and all at once.
	var absent partSet
	for part := range ours {
		if ours[part] == 0 && r.differ.has(part) {
			absent.add(part)
		}
	}
	if !absent.empty() {
		r.ask(absent, true)
		return
	}
	r.want()
}

// want asks for the next parts, or for another comparison when all are here.
func (r *receiver) want() {
	var next partSet
	for part, n := 0, 0; part < parts && n < listAtOnce; part++ {
		if r.differ.has(part) {
			next.add(part)
			n++
		}
	}
	if next.empty() {
		r.answers = answer{kind: answerAgain}
		return
	}
	r.ask(next, false)
}

func (r *receiver) ask(set partSet, absent bool) {
	r.absent = absent
	for i := range set {
		r.differ[i] &^= set[i]
	}
	r.answers = answer{answerWant, set}
}
