package replica

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

const fakePages = 8

type fakeKey struct {
	client  netip.AddrPort
	vip     loader.VipID
	vipPort uint16
}

// fakeTable is a flow table of maps, and a program that writes to it.
type fakeTable struct {
	names   map[loader.BackendID]loader.BackendName
	vips    map[loader.BackendID]loader.VipID
	entries map[fakeKey]*loader.Entry
	ended   []*loader.Entry // GONE with a key, until given back
	dirty   [fakePages]bool
	room    int // entries; 0: any number
}

func newFake() *fakeTable {
	return &fakeTable{
		names: map[loader.BackendID]loader.BackendName{}, vips: map[loader.BackendID]loader.VipID{},
		entries: map[fakeKey]*loader.Entry{},
	}
}

func pageOf(client netip.AddrPort) int { return int(client.Port()) % fakePages }

func keyOf(f *loader.Flow) fakeKey { return fakeKey{f.Client, f.Vip, f.VipPort} }

func (t *fakeTable) Pages() int { return fakePages }

func (t *fakeTable) NextDirty(from int) int {
	for from < fakePages && !t.dirty[from] {
		from++
	}
	return from
}

func (t *fakeTable) Dirty(page int) bool { return t.dirty[page] }

func (t *fakeTable) TakeDirty(page int) bool {
	is := t.dirty[page]
	t.dirty[page] = false
	return is
}

func (t *fakeTable) Scan(page int, marks *loader.Marks, all bool, tell func(*loader.Entry, loader.Mark)) {
	t.ended = slices.DeleteFunc(t.ended, func(e *loader.Entry) bool {
		mark := marks[byte(e.State)|byte(e.Flags)]
		if pageOf(e.Client) != page || mark == loader.Leave {
			return false
		}
		tell(e, mark)
		return mark == loader.GiveBack
	})
	var keys []fakeKey
	for key := range t.entries {
		if pageOf(key.client) == page {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b fakeKey) int { return cmp.Or(a.client.Compare(b.client), int(a.vip)-int(b.vip)) })
	for _, key := range keys {
		e := t.entries[key]
		mark := marks[byte(e.State)|byte(e.Flags)]
		if mark == loader.Leave && !(all && e.Flags&loader.FlowSent != 0) {
			continue
		}
		tell(e, mark)
		switch mark {
		case loader.MarkSent:
			e.Flags = e.Flags&^loader.FlowChanged | loader.FlowSent
		case loader.MarkUnsent:
			e.Flags &^= loader.FlowChanged | loader.FlowSent
		}
	}
}

func (t *fakeTable) Name(id loader.BackendID) (loader.BackendName, bool) {
	name, ok := t.names[id]
	return name, ok
}

func (t *fakeTable) Backend(name loader.BackendName) (loader.VipID, loader.BackendID, bool) {
	for id, is := range t.names {
		if is == name {
			return t.vips[id], id, true
		}
	}
	return 0, 0, false
}

func (t *fakeTable) Takes(id loader.BackendID, name loader.BackendName) bool {
	return t.names[id] == name
}

func (t *fakeTable) Hold()    {}
func (t *fakeTable) Release() {}

func (t *fakeTable) Timeout(loader.VipID, loader.State) time.Duration { return 15 * time.Minute }

func (t *fakeTable) Merge(flow loader.Flow, f func(loader.Entry, bool) (loader.Entry, loader.Act)) {
	key := keyOf(&flow)
	have, found := t.entries[key]
	if !found {
		have = &loader.Entry{}
	}
	is, act := f(*have, found)
	switch {
	case act == loader.Write && !found && t.room > 0 && len(t.entries) >= t.room:
	case act == loader.Write:
		t.entries[key] = &is
		t.dirty[pageOf(flow.Client)] = true
	case act == loader.End:
		delete(t.entries, key)
	}
}

func (t *fakeTable) Flush()               {}
func (t *fakeTable) Settle() (int, error) { return 0, nil }

// named is the table in words that two routers share.
func (t *fakeTable) named() map[string]string {
	flows := map[string]string{}
	for _, e := range t.entries {
		if travels(e.State) {
			name := t.names[e.Backend]
			flows[fmt.Sprint(e.Client, name.Vip, e.VipPort)] = name.Real.String()
		}
	}
	return flows
}

// ---- what the program and the sweep do ----

// change is a packet's: it changes the state of a flow that is there.
func (t *fakeTable) change(key fakeKey, state loader.State) {
	if e := t.entries[key]; e != nil {
		e.State, e.Idle = state, 0
		e.Flags |= loader.FlowChanged
		t.dirty[pageOf(key.client)] = true
	}
}

// open is a SYN's: a new flow, or the old entry opened again.
func (t *fakeTable) open(key fakeKey, to loader.BackendID, state loader.State) {
	flags := loader.FlowChanged
	if e := t.entries[key]; e != nil {
		flags |= e.Flags&loader.FlowSent | ^e.Flags&loader.FlowGeneration
	}
	t.entries[key] = &loader.Entry{
		Flow:  loader.Flow{Client: key.client, Vip: key.vip, VipPort: key.vipPort, Backend: to, State: state},
		Flags: flags,
	}
	t.dirty[pageOf(key.client)] = true
}

// end is the sweep's.
func (t *fakeTable) end(key fakeKey) {
	e := t.entries[key]
	if e == nil {
		return
	}
	delete(t.entries, key)
	if e.Flags&loader.FlowSent != 0 {
		e.State = loader.StateGone
		t.ended = append(t.ended, e)
		t.dirty[pageOf(key.client)] = true
	}
}

// grow makes every flow older.
func (t *fakeTable) grow(by time.Duration) {
	for _, e := range t.entries {
		e.Idle += by
	}
}
