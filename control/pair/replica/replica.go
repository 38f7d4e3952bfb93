package replica

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

const (
	// interval is how often changed flows are looked for, unless Config says otherwise.
	interval = 20 * time.Millisecond
	// compareEvery is how often the one that leads compares the tables, and compareSoon
	// how soon again after one that found differences, or could not be made; after
	// several, later and later.
	compareEvery = 5 * time.Second
	compareSoon  = 100 * time.Millisecond
	// factsEvery is how often the routers tell each other what they hold to be true,
	// and factsHold how long that is believed.
	factsEvery = 500 * time.Millisecond
	factsHold  = 2 * time.Second
	// unacknowledged for so long, a stream is begun anew.
	answerLimit = 3 * time.Second

	promptLimit = time.Second
	equalLimit  = 10 * time.Second
)

// Config of New.
type Config struct {
	Table Table
	// Send gives a frame (of at most 64 KiB) to the other router. It may wait for room,
	// and is called by one goroutine. An error says that the frame may be lost.
	Send func(frame []byte) error
	// Interval is how often changed flows are looked for; 0: 20 ms.
	Interval time.Duration
}

// A Replica replicates while Run runs. Its methods are safe for concurrent use; all but
// Receive wait for the goroutine that Run has. Who tells it of connections does so in
// their order.
type Replica struct {
	Config
	sender   sender
	receiver receiver
	hashes   hashes
	marks    *loader.Marks

	in       chan []byte
	requests chan func()
	ended    chan struct{}

	// All that follows is the running goroutine's.
	now          func() time.Time
	random       func(below time.Duration) time.Duration
	out          func([]byte)
	connected    bool
	leads        bool
	sameRevision bool

	page    int  // where the scan of changed pages goes on
	behind  bool // it stopped for want of room
	listing *listing
	walks   uint64 // comparisons made, which spread the refreshes

	compareAt time.Time
	soon      time.Duration
	bulk      bool
	equalAt   time.Time
	flows     int
	lag       time.Duration

	factsAt      time.Time // ours are due
	theirs       facts
	theirsAt     time.Time
	lostAt       time.Time // when we last asked for a new stream
	acknowledged struct {  // the peer's batches
		stream   streamID
		sequence uint64
	}
	flushes []flush
}

// A listing tells all flows of some parts, page by page.
type listing struct {
	parts partSet
	page  int
}

// A flush waits for its sequence to be acknowledged.
type flush struct {
	sequence uint64
	done     chan error
}

// New makes a Replica. Nothing is done before Run.
func New(config Config) *Replica {
	if config.Interval == 0 {
		config.Interval = interval
	}
	r := &Replica{
		Config: config, marks: loader.MarksOf(markOf),
		in: make(chan []byte, 4*window/frameSize), requests: make(chan func()), ended: make(chan struct{}),
		now: time.Now, random: rand.N[time.Duration], soon: compareSoon,
	}
	r.hashes.table, r.hashes.held = config.Table, 1
	r.sender = sender{table: config.Table, hashes: &r.hashes, emit: func(frame []byte) { r.out(frame) }}
	r.sender.stream.incarnation = rand.Uint64() | 1
	r.receiver = receiver{
		table: config.Table, hashes: &r.hashes, retired: map[uint64]struct{}{}, names: map[wireID]*peerName{}, aside: map[asideKey]asideFlow{},
		weLead: func() bool { return r.leads }, sender: &r.sender,
	}
	r.receiver.makeMerging()
	return r
}

// Receive takes a frame of the other router; it keeps a copy. It never waits, so that
// two routers that both send cannot wait for each other: a frame for which there is no
// room is lost, as one is that a broken connection loses. A peer that keeps to its
// window never sends so many.
func (r *Replica) Receive(frame []byte) {
	select {
	case r.in <- append([]byte(nil), frame...):
	default:
	}
}

// Run replicates until the context ends.
func (r *Replica) Run(ctx context.Context) {
	defer close(r.ended)
	out := make(chan []byte, 4*window/frameSize)
	var sending sync.WaitGroup
	sending.Go(func() {
		for frame := range out {
			// What is lost is found by who waits for its acknowledgement.
			_ = r.Send(frame)
		}
	})
	defer sending.Wait()
	defer close(out)
	r.out = func(frame []byte) {
		select {
		case out <- frame:
		case <-ctx.Done():
		}
	}
	ticker := time.NewTicker(r.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case request := <-r.requests:
			r.hold(request)
		case frame := <-r.in:
			r.hold(func() {
				r.take(frame)
				for range len(r.in) {
					r.take(<-r.in)
				}
				r.acknowledge()
				r.work()
			})
		case <-ticker.C:
			r.hold(r.tick)
		}
	}
}

// hold does something while backends keep their meaning.
func (r *Replica) hold(do func()) {
	r.Table.Hold()
	defer r.Table.Release()
	r.hashes.held++
	do()
}

var errStopped = errors.New("replication has ended")

// do runs f in the goroutine that Run has.
func (r *Replica) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case r.requests <- func() { f(); close(done) }:
		<-done
		return nil
	case <-r.ended:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Connected says that a connection to the other router is there, or another one than
// before, and which version of the pair's protocol both speak; 0: there is none.
func (r *Replica) Connected(protocol int) {
	_ = r.do(context.Background(), func() {
		r.sender.protocol = protocol
		r.connect(protocol > 0)
	})
}

// Lead says whether this router is the active one: its flows are those that count.
func (r *Replica) Lead(is bool) {
	_ = r.do(context.Background(), func() {
		if r.leads != is {
			r.leads = is
			r.sayLead()
		}
	})
}

// Revision says whether both routers have one configuration. Flows that were kept aside
// until theirs would come are tried again.
func (r *Replica) Revision(same bool) {
	_ = r.do(context.Background(), func() {
		r.sameRevision = same
		r.receiver.retry()
	})
}

// Flush sends every flow that has changed, and waits until the other router has
// applied it.
func (r *Replica) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	err := r.do(ctx, func() {
		if !r.connected {
			done <- errors.New("there is no connection to the other router")
			return
		}
		r.scan()
		if r.behind {
			done <- errors.New("the other router takes flows too slowly")
			return
		}
		r.sender.flush(r.now())
		r.flushes = append(r.flushes, flush{r.sender.sequence, done})
		r.endFlushes()
	})
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ended:
		return errStopped
	}
}

// Status says how replication is.
func (r *Replica) Status() (s Status) {
	_ = r.do(context.Background(), func() { s = r.status() })
	return s
}

func (r *Replica) status() Status {
	now := r.now()
	heard := r.connected && now.Sub(r.theirsAt) < factsHold
	s := Status{
		ComparedAt: r.equalAt, Oldest: r.sender.oldest(now), Lag: r.lag, Flows: r.flows,
		Aside: len(r.receiver.aside), Counts: r.counts(),
	}
	ours := r.facts(now)
	for fact, is := range []bool{
		Linked: heard, Copied: ours.bulk && r.theirs.bulk, Equal: ours.equal && r.theirs.equal,
		Prompt: ours.oldest < promptLimit && r.theirs.oldest < promptLimit, SameRevision: r.sameRevision,
	} {
		if !is {
			s.Missing = append(s.Missing, Fact(fact))
		}
	}
	return s
}

// counts are the sender's and the receiver's.
func (r *Replica) counts() Counts {
	c, in := r.sender.count, r.receiver.count
	c.PutsTaken, c.EndsTaken, c.Disputes, c.Repaired = in.PutsTaken, in.EndsTaken, in.Disputes, in.Repaired
	c.Unlisted, c.Differed, c.Full, c.AsideLost, c.Gaps, c.Failed = in.Unlisted, in.Differed, in.Full, in.AsideLost, in.Gaps, in.Failed
	return c
}

// facts are ours. Who does not lead compares nothing and has no bulk to copy, unless
// nobody leads, or both.
func (r *Replica) facts(now time.Time) facts {
	f := facts{bulk: r.bulk, equal: now.Sub(r.equalAt) < equalLimit, oldest: r.sender.oldest(now)}
	if !r.compares() {
		f.bulk = true
	}
	return f
}

// compares says whether it is on us to compare the tables.
func (r *Replica) compares() bool { return r.leads || !r.receiver.leads }

func (r *Replica) connect(is bool) {
	r.connected = is
	if is {
		r.begin()
		return
	}
	for _, f := range r.flushes {
		f.done <- errors.New("the connection to the other router broke")
	}
	r.flushes = nil
}

// begin opens a stream: what was not acknowledged first, then a comparison.
func (r *Replica) begin() {
	now := r.now()
	r.sender.count.Begun++
	r.sender.begin(now)
	r.listing, r.bulk, r.soon = nil, false, compareSoon
	r.sayLead()
	r.sender.flush(now)
	for i := range r.flushes { // what they wait for was told again
		r.flushes[i].sequence = r.sender.sequence
	}
	r.compareAt, r.factsAt, r.behind = now, now, true
}

// sayLead tells who leads, and compares soon: the tables may count for other things now.
func (r *Replica) sayLead() {
	r.sender.lead(r.leads)
	r.compareAt = r.now()
}

// tick does what is due.
func (r *Replica) tick() {
	now := r.now()
	if !r.connected {
		return
	}
	if r.sender.oldest(now) > answerLimit {
		r.begin()
	}
	r.behind = true
	r.work()
	if len(r.receiver.aside) > 0 && !now.Before(r.factsAt) {
		r.receiver.retry()
	}
	if !now.Before(r.compareAt) {
		r.compare()
	}
	if !now.Before(r.factsAt) {
		f := r.facts(now)
		r.out(appendFacts(nil, &f))
		r.factsAt = now.Add(factsEvery)
	}
}

// work goes on with what waited for room.
func (r *Replica) work() {
	if !r.connected {
		return
	}
	if r.behind {
		r.scan()
	}
	if r.listing != nil && !r.behind {
		r.list()
	}
	r.sender.flush(r.now())
}

// scan tells what has changed, page by page.
func (r *Replica) scan() {
	pages := r.Table.Pages()
	start, wrapped := r.page, false
	for {
		page := r.Table.NextDirty(r.page)
		if page >= pages && !wrapped {
			wrapped, r.page = true, 0
			continue
		}
		if page >= pages || wrapped && page >= start {
			r.behind = false
			return
		}
		r.page = page
		if !r.sender.room() {
			r.behind = true
			return
		}
		r.Table.TakeDirty(page)
		r.Table.Scan(page, r.marks, false, r.sender.marked)
		r.sender.flushFull(r.now())
		r.page++
	}
}

// steadily scans a page until nothing has written to it meanwhile: an entry that moves
// in it could be missed, or seen twice. It gives up after a few times.
func (r *Replica) steadily(page int, begin func(), tell func(*loader.Entry, loader.Mark)) {
	for range 4 {
		r.Table.TakeDirty(page)
		begin()
		r.Table.Scan(page, r.marks, true, func(e *loader.Entry, mark loader.Mark) {
			r.sender.marked(e, mark)
			tell(e, mark)
		})
		if !r.Table.Dirty(page) {
			return
		}
	}
}

// list goes on telling the parts that the other router asked for.
func (r *Replica) list() {
	l := r.listing
	for ; l.page < r.Table.Pages(); l.page++ {
		if !r.sender.room() {
			return
		}
		r.steadily(l.page, func() {}, func(e *loader.Entry, mark loader.Mark) {
			if mark == loader.Leave && e.Flags&loader.FlowSent != 0 && travels(e.State) && l.parts.has(r.part(e)) {
				r.sender.entry(e, false, false)
				r.sender.count.Listed++
			}
		})
		r.sender.flushFull(r.now())
	}
	r.sender.operation(opListEnd)
	r.listing = nil
}

func (r *Replica) part(e *loader.Entry) int {
	of, ok := r.hashes.of(e.Backend)
	if !ok {
		return -1
	}
	return partOf(flowHash(e.Client, e.VipPort, of.vip))
}

// compare tells the sums of all that the other router has by now, as this stream told
// it: the walk tells what has changed as it comes by, and nothing else is told until the
// sums are.
func (r *Replica) compare() {
	now := r.now()
	switch {
	case !r.compares():
		r.compareAt = now.Add(compareEvery)
		return
	case r.listing != nil || r.behind || r.sender.waiting > window/4:
		return // soon
	}
	var s sums
	type one struct {
		part int
		hash uint64
	}
	var page []one
	r.walks++
	r.flows = 0
	for number := range r.Table.Pages() {
		r.steadily(number, func() { page = page[:0] }, func(e *loader.Entry, mark loader.Mark) {
			if e.Flags&loader.FlowSent == 0 && mark != loader.MarkSent || mark == loader.MarkUnsent || e.Ended() {
				return
			}
			of, ok := r.hashes.of(e.Backend)
			if !ok {
				return
			}
			flow := flowHash(e.Client, e.VipPort, of.vip)
			page = append(page, one{partOf(flow), contribution(flow, of.real)})
			if mark == loader.Leave && r.refreshes(e, flow) {
				r.sender.entry(e, false, false)
			}
		})
		for _, o := range page {
			s[o.part] += o.hash
		}
		r.flows += len(page)
		r.sender.flushFull(now)
		if number%1024 == 0 { // what is found early need not wait for the end
			r.sender.flush(now)
		}
	}
	r.receiver.addAside(&s)
	r.sender.digest(r.receiver.last, &s)
	r.sender.flush(now)
	r.compareAt = now.Add(compareEvery)
}

// refreshes says if a flow's age is due: once per quarter of its timeout, if it was seen
// in that time. Which of the walks it is follows from the flow, so nothing need be
// remembered and they are spread evenly.
func (r *Replica) refreshes(e *loader.Entry, flow uint64) bool {
	quarter := r.Table.Timeout(e.Vip, e.State) / 4
	period := max(uint64(quarter/compareEvery), 1)
	return e.Idle < quarter && (flow+r.walks)%period == 0
}

// take applies one frame.
func (r *Replica) take(frame []byte) {
	if len(frame) == 0 {
		return
	}
	c := cursor{rest: frame[1:]}
	if frameKind(frame[0]) == frameFacts {
		if f, err := readFacts(frame[1:]); err == nil {
			r.theirs, r.theirsAt = f, r.now()
		}
		return
	}
	id := streamID{c.uint64(), c.uvarint(most64)}
	if c.broken {
		return
	}
	switch frameKind(frame[0]) {
	case frameBatch:
		sequence := c.uvarint(most64)
		if c.broken {
			return
		}
		ok, err := r.receiver.take(id, sequence, c.rest)
		if err != nil || !ok {
			r.askAnew(id)
		}
	case frameAnswer:
		r.takeAnswer(id, &c)
	case frameLost:
		if id == r.sender.stream && r.connected {
			r.begin()
		}
	}
}

// askAnew asks for a new stream; not for every batch of the one that is lost.
func (r *Replica) askAnew(id streamID) {
	r.receiver.count.Gaps++
	if now := r.now(); now.Sub(r.lostAt) > 50*time.Millisecond {
		r.lostAt = now
		r.out(appendHead(nil, frameLost, id, 0))
	}
}

// acknowledge answers for what was applied.
func (r *Replica) acknowledge() {
	in, last := &r.receiver, &r.acknowledged
	if last.stream == in.stream && last.sequence == in.last && in.answers.kind == answerNone || in.last == 0 {
		return
	}
	in.settle()
	answer := append(appendHead(nil, frameAnswer, in.stream, in.last), byte(in.answers.kind))
	if in.answers.kind == answerWant {
		answer = appendParts(answer, &in.answers.want)
	}
	if in.answers.kind == answerEqual { // whoever compared: so nothing is left to be copied
		r.bulk, r.equalAt, r.flows = true, r.now(), in.flows
	}
	in.answers.kind, last.stream, last.sequence = answerNone, in.stream, in.last
	r.out(answer)
}

func (r *Replica) takeAnswer(id streamID, c *cursor) {
	sequence, kind := c.uvarint(most64), answerKind(c.byte())
	if c.broken || id != r.sender.stream {
		return
	}
	now := r.now()
	for _, b := range r.sender.unacked {
		if b.sequence == sequence {
			r.lag = now.Sub(b.at)
		}
	}
	if !r.sender.acknowledged(sequence) {
		r.begin()
		return
	}
	r.endFlushes()
	switch kind {
	case answerEqual:
		r.bulk, r.equalAt, r.soon = true, now, compareSoon
	case answerAgain:
		// Not in step with the other router, that may do the same.
		r.compareAt = now.Add(r.soon + r.random(r.soon))
		r.soon = min(2*r.soon, compareEvery/4)
	case answerWant:
		if want := c.parts(); !c.broken {
			r.listing = &listing{parts: want}
			r.sender.list(&want)
		}
	}
}

func (r *Replica) endFlushes() {
	left := r.flushes[:0]
	for _, f := range r.flushes {
		if len(r.sender.unacked) == 0 || r.sender.unacked[0].sequence > f.sequence {
			f.done <- nil
			continue
		}
		left = append(left, f)
	}
	r.flushes = left
}
