package loader

import (
	"cmp"
	"time"

	"go.uber.org/zap"
)

// An upgrade brings flows from one set of tables to another, of another layout or
// size, while packets go on:
//
//  1. The new set is made, with everything but flows (sets.go).
//  2. On every leg the program is replaced by one of the new set that looks for a flow
//     that it does not find in the set before, and brings it over (bpf/before.h). So
//     no packet of a flow is without it, and nothing has to be copied in a hurry.
//  3. When no packet is in the old program any more, nobody writes to the set before.
//     Every flow in it is put into the new one, merged with what packets brought.
//  4. The programs are replaced by those that know nothing of the set before, and that
//     is given up.
//
// While some legs run the new program and others the old one, a flow that the new one
// makes is not in the old table. So legs with reals come first, and on each TC before
// XDP: then a reply never comes to the old program of a flow that the new one made.
// What is left is a client that changes from a leg that has the new program to one that
// has not, and a real that is the client of another one behind another inside leg, both
// within the few ms of step 2. Such a packet is treated as one without a flow: by the
// schedule, or as reply_no_flow. It goes wrong where the flow's vip schedules by turn,
// or the real serves several vips.

// programRest is how long a packet may be in a program that was replaced: far longer.
const programRest = time.Second

// An Owner runs a function where the Loader's methods are called, and waits for it: what
// takes long is done beside that goroutine, which has a router to run.
type Owner func(func() error) error

// Here is the Owner of who calls.
func Here(f func() error) error { return f() }

// upgradeTo goes over to a set that is complete but for its flows. From the decision
// on nothing is lost by any failure: it leaves both sets in use.
func (l *Loader) upgradeTo(set *pins, opened xdpMaps, flows *flowTables, from *before, owner Owner) error {
	if err := set.tellReaders(); err != nil {
		return err
	}
	programs, err := l.loadPrograms(&opened, from)
	if err != nil {
		return err
	}
	if err := programs.loadPuts(); err != nil {
		programs.close()
		return err
	}
	err = owner(func() error {
		if err := set.decide(); err != nil {
			return err
		}
		l.pins = set
		l.comeFrom(from)
		l.use(programs, opened, flows)
		return nil
	})
	if err != nil {
		programs.close()
	}
	return err
}

// comeFrom has flows looked for in the set before from now on, and nobody replicate the
// tables until FinishUpgrade: some of the flows would be taken for all.
func (l *Loader) comeFrom(from *before) {
	l.partial.Lock()
	from.isApart = true
	l.before = from
}

// use makes programs and tables those that everybody has from now on.
func (l *Loader) use(programs *programs, opened xdpMaps, flows *flowTables) {
	l.replacing.Lock()
	defer l.replacing.Unlock()
	l.programs.close()
	l.programs, l.maps, l.flows = programs, opened, flows
	l.gone = goneSlots{}
}

// FinishUpgrade brings all flows over that are still in tables of another layout or
// size, and gives those up; mostly there are none. It takes a second and what the
// copying takes. An error leaves every flow in reach of the programs: call it again
// later. For when the programs have been attached to all legs and detached from others.
// It may be called in another goroutine than the owner's, in one at a time.
func (l *Loader) FinishUpgrade(owner Owner) error {
	if l.before == nil {
		return nil
	}
	if err := l.bringAll(owner); err != nil {
		return err
	}
	programs, err := l.loadPrograms(&l.maps, nil)
	if err != nil {
		return err
	}
	if err := programs.loadPuts(); err != nil { // nobody is to wait for it later
		programs.close()
		return err
	}
	return owner(func() error {
		l.use(programs, l.maps, l.flows)
		if err := l.replacePrograms(); err != nil {
			return err
		}
		if err := l.pins.finish(); err != nil {
			return err
		}
		l.before.close()
		l.before = nil
		l.log.Info("flow tables replaced", zap.Int("slots4", l.flows.four.slots()), zap.Int("slots6", l.flows.six.slots()))
		return nil
	})
}

// bringAll brings over what no packet has, once.
func (l *Loader) bringAll(owner Owner) error {
	from := l.before
	if from.isEmpty {
		return nil
	}
	if !from.isApart { // it failed before
		l.partial.Lock()
	}
	defer func() {
		from.isApart = false
		l.partial.Unlock()
	}()
	err := owner(func() error { return cmp.Or(l.replacePrograms(), l.checkReplaced()) })
	if err != nil {
		return err
	}
	dieAt("replaced")
	time.Sleep(programRest)
	begun := time.Now()
	brought, err := l.bringOver()
	if err != nil {
		return err
	}
	err = owner(func() error { from.isEmpty = true; return nil })
	l.log.Info("flows brought over", zap.Int("flows", brought.flows), zap.Duration("in", time.Since(begun).Round(time.Millisecond)))
	if lost := brought.full + brought.refused; lost > 0 {
		l.log.Error("flows found no place in the new tables, or no backend", zap.Int("no_place", brought.full), zap.Int("no_backend", brought.refused))
	}
	return err
}

// brought counts what became of flows.
type brought struct{ flows, full, refused int }

// bringOver puts every flow of the set before into this one.
func (l *Loader) bringOver() (b brought, err error) {
	for _, table := range l.before.flows.both() {
		err := l.programs.putAll(table.puts(l.beat), func(put *putFlowPut) {
			switch PutOutcome(put.Result) {
			case PutFull:
				b.full++
			case PutRefused:
				b.refused++
			default:
				b.flows++
			}
		})
		if err != nil {
			return b, err
		}
		dieAt("copying")
	}
	return b, nil
}
