package replica

import (
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

// A Table is a router's flow table, as replication sees it: loader.Replication, of
// which the methods' contracts are. Used by one goroutine.
type Table interface {
	Hold()
	Release()

	Pages() int
	NextDirty(from int) int
	Dirty(page int) bool
	TakeDirty(page int) bool
	Scan(page int, marks *loader.Marks, all bool, tell func(*loader.Entry, loader.Mark))

	Name(loader.BackendID) (loader.BackendName, bool)
	Backend(loader.BackendName) (loader.VipID, loader.BackendID, bool)
	Takes(loader.BackendID, loader.BackendName) bool
	Timeout(loader.VipID, loader.State) time.Duration

	Merge(flow loader.Flow, f func(have loader.Entry, found bool) (loader.Entry, loader.Act))
	Flush()
	Settle() (full int, err error)
}

// hashes remembers the hashes of backends' names.
type hashes struct {
	table Table
	held  uint64   // counts Holds, in each of which no id changes its meaning
	known []hashed // by id
}

// of is what a backend's id means now.
func (h *hashes) of(id loader.BackendID) (*hashed, bool) {
	if int(id) < len(h.known) && h.known[id].held == h.held {
		return &h.known[id], true
	}
	name, ok := h.table.Name(id)
	if !ok {
		return nil, false
	}
	for int(id) >= len(h.known) {
		h.known = append(h.known, hashed{})
	}
	if h.known[id].name != name {
		h.known[id] = hashName(name)
	}
	h.known[id].held = h.held
	return &h.known[id], true
}
