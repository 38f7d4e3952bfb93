package plan

import (
	"fmt"
	"iter"
	"net/netip"

	"github.com/tarpon-lb/tarpon/loader"
)

const mostIDs = 65535

// ids gives what is known its old number, and the rest the lowest free ones.
type ids struct {
	vips  map[loader.Endpoint]loader.VipID
	reals [mostIDs + 1]netip.AddrPort // of backends
	// A vip's backends are a list: the first, and behind each the next.
	first [mostIDs + 1]loader.BackendID
	next  [mostIDs + 1]loader.BackendID

	usedVips, usedBackends   [mostIDs + 1]bool
	lowestVip, lowestBackend int
}

func newIDs(have loader.Tables) *ids {
	n := &ids{vips: make(map[loader.Endpoint]loader.VipID, len(have.Vips)), lowestVip: 1, lowestBackend: 1}
	for id, vip := range have.Vips {
		n.vips[vip.Endpoint] = id
		n.usedVips[id] = true
	}
	for id, backend := range have.Backends {
		n.usedBackends[id] = true
		n.add(backend.Vip, id, backend.Real)
	}
	return n
}

func (n *ids) add(vip loader.VipID, id loader.BackendID, real netip.AddrPort) {
	n.reals[id] = real
	n.first[vip], n.next[id] = id, n.first[vip]
}

// backends are a vip's.
func (n *ids) backends(vip loader.VipID) iter.Seq[loader.BackendID] {
	return func(yield func(loader.BackendID) bool) {
		for id := n.first[vip]; id != 0 && yield(id); id = n.next[id] {
		}
	}
}

func (n *ids) vip(e loader.Endpoint) (loader.VipID, error) {
	id, ok := n.vips[e]
	if ok {
		return id, nil
	}
	if id = lowest[loader.VipID](&n.usedVips, &n.lowestVip); id == 0 {
		return 0, fmt.Errorf("vip %s: more than %d vips, those counted whose flows are not over yet", e, mostIDs)
	}
	n.vips[e] = id
	return id, nil
}

func (n *ids) backend(vip loader.VipID, real netip.AddrPort) (loader.BackendID, error) {
	for id := range n.backends(vip) {
		if n.reals[id] == real {
			return id, nil
		}
	}
	id := lowest[loader.BackendID](&n.usedBackends, &n.lowestBackend)
	if id == 0 {
		return 0, fmt.Errorf("real %s: more than %d reals of all vips together, those counted whose flows are not over yet", real, mostIDs)
	}
	n.add(vip, id, real)
	return id, nil
}

// lowest takes the lowest id from next on that is not used; 0: there is none.
func lowest[ID ~uint16](used *[mostIDs + 1]bool, next *int) ID {
	for ; *next <= mostIDs; *next++ {
		if id := ID(*next); !used[id] {
			used[id] = true
			return id
		}
	}
	return 0
}
