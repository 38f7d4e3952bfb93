package loader

import (
	"fmt"
	"iter"
	"net/netip"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// FlowFlags are kept with a flow (bpf/abi.h, enum flow_flag).
type FlowFlags uint8

const (
	// FlowChanged: its state changed since replication copied it.
	FlowChanged FlowFlags = 1 << (4 + iota)
	// FlowSent: the other router has it.
	FlowSent
	// FlowGeneration is toggled when a SYN opens the entry again.
	FlowGeneration
)

// A FlowPut is a flow that comes from elsewhere: of an older table, or of the other
// router. Its backend says which vip's, family and protocol it is.
type FlowPut struct {
	Client  netip.AddrPort
	Backend BackendID
	VipPort uint16 // of an any-port vip, else 0
	State   State
	Flags   FlowFlags
	Idle    time.Duration // since its last packet
}

// A PutOutcome is what became of a FlowPut (bpf/abi.h, enum put_result).
type PutOutcome uint16

const (
	PutInserted PutOutcome = iota
	// PutMerged: an entry was there, and has changed.
	PutMerged
	// PutKept: an entry was there that says as much or more.
	PutKept
	// PutFull: there was no slot for it, or the entry changed under our hands.
	PutFull
	// PutRefused: no such backend, or one of another family or protocol than the
	// flow's, or no state that a flow lives in.
	PutRefused
)

func (o PutOutcome) String() string {
	return [...]string{"inserted", "merged", "kept", "full", "refused", "?", "?", "?"}[o&7]
}

// A PutResult says what became of a FlowPut.
type PutResult struct {
	Outcome PutOutcome
	// Before and After are the backends that the entry had and has; 0: none.
	Before, After BackendID
	// Evicted: another flow gave way for this one, one that is not established.
	Evicted bool
}

// PutFlows inserts flows into the table as the programs do, while they run, or merges
// them with the entries that are there. Of one connection (same client, vip, backend
// and generation) the further state stays, the later time, and the flags of both;
// else the entry that was seen later, and that of the table if both were seen in the
// same tick (1.07 s). Results are in the order of the flows; after an error, which is
// the kernel's and of no flow, there are as many as were put before it. May be called
// concurrently.
func (l *Loader) PutFlows(flows []FlowPut) ([]PutResult, error) {
	l.replacing.RLock()
	defer l.replacing.RUnlock()
	results := make([]PutResult, 0, len(flows))
	err := l.programs.putAll(func(yield func(putFlowPut) bool) {
		now := clock()
		for i := range flows {
			if !yield(putOf(&flows[i], now)) {
				return
			}
		}
	}, func(put *putFlowPut) { results = append(results, resultOf(put)) })
	return results, err
}

// putAll puts flows in batches. done is told of each what became of it, in their order.
func (p *programs) putAll(flows iter.Seq[putFlowPut], done func(*putFlowPut)) error {
	p.put.Lock()
	defer p.put.Unlock()
	if err := p.forPuts(); err != nil {
		return err
	}
	n := 0
	flush := func() error {
		err := p.put.run(n)
		for i := 0; i < n && err == nil; i++ {
			done(&p.put.batch[i])
		}
		n = 0
		return err
	}
	for flow := range flows {
		p.put.batch[n] = flow
		if n++; n == len(p.put.batch) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if n == 0 {
		return nil
	}
	return flush()
}

func putOf(f *FlowPut, now uint32) putFlowPut {
	seen := (now - uint32(min(f.Idle/tick, clockMask/2))) & clockMask
	put := putFlowPut{
		Value: uint64(f.Backend) | uint64(networkPort(f.VipPort))<<16 |
			uint64(f.State&0xf|State(f.Flags&0xf0))<<32 | uint64(seen)<<40,
		ClientPort: networkPort(f.Client.Port()), V6: flags(f.Client.Addr().Is6(), 1),
	}
	put.Client.Words = toAddress(f.Client.Addr()).Words
	return put
}

func resultOf(put *putFlowPut) PutResult {
	r := PutResult{Outcome: PutOutcome(put.Result), Before: valueBackend(put.Before), Evicted: put.Evicted != 0}
	if r.Outcome <= PutKept {
		r.After = valueBackend(put.Value)
	}
	return r
}

// putProgram puts flows into the table under its locks, which Go cannot take
// (bpf/put.h). One batch at a time.
type putProgram struct {
	sync.Mutex
	program *ebpf.Program // nil until somebody asks
	mapped  []byte
	batch   []putFlowPut // in memory that the program has too
}

// loadPuts loads the program, so that nothing can be in its way later.
func (p *programs) loadPuts() error {
	p.put.Lock()
	defer p.put.Unlock()
	return p.forPuts()
}

// forPuts loads the program unless it is. The caller has it locked.
func (p *programs) forPuts() error {
	if p.put.program != nil {
		return nil
	}
	spec, err := loadPut()
	if err != nil {
		return fmt.Errorf("read the built-in program: %w", err)
	}
	collection, err := newCollection(spec, "tarpon_put", p.maps, p.constants)
	if err != nil {
		return err
	}
	defer collection.Close()
	if p.put.mapped, err = mapArray(collection.Maps["puts"]); err != nil {
		return fmt.Errorf("map memory of the puts: %w", err)
	}
	p.put.batch = records[putFlowPut](p.put.mapped)[:flowPuts]
	p.put.program = collection.DetachProgram("tarpon_put")
	return nil
}

// run puts the first n of the batch.
func (p *putProgram) run(n int) error {
	for i := range p.batch {
		p.batch[i].Used = flags(i < n, 1)
	}
	var anything [14]byte // the least that the kernel takes for a frame
	if _, err := p.program.Run(&ebpf.RunOptions{Data: anything[:]}); err != nil {
		return fmt.Errorf("put flows into the table: %w", err)
	}
	return nil
}

func (p *putProgram) close() {
	p.Lock()
	defer p.Unlock()
	if p.program != nil {
		p.program.Close()
		_ = unix.Munmap(p.mapped)
		p.program, p.batch = nil, nil
	}
}
