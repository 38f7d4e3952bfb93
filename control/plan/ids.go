package plan

import (
	"fmt"
	"net/netip"

	"github.com/tarpon-lb/tarpon/loader"
)

const mostIDs = 65535

type backendKey struct {
	vip  loader.VipID
	real netip.AddrPort
}

// ids gives what is known its old number, and the rest the lowest free ones.
type ids struct {
	vips     map[loader.Endpoint]loader.VipID
	backends map[backendKey]loader.BackendID

	usedVips     map[loader.VipID]bool
	usedBackends map[loader.BackendID]bool
	nextVip      int
	nextBackend  int
}

func newIDs(have loader.Tables) *ids {
	n := &ids{
		vips:     map[loader.Endpoint]loader.VipID{},
		backends: map[backendKey]loader.BackendID{},
		usedVips: map[loader.VipID]bool{}, usedBackends: map[loader.BackendID]bool{},
		nextVip: 1, nextBackend: 1,
	}
	for id, vip := range have.Vips {
		n.vips[vip.Endpoint] = id
		n.usedVips[id] = true
	}
	for id, backend := range have.Backends {
		n.backends[backendKey{backend.Vip, backend.Real}] = id
		n.usedBackends[id] = true
	}
	return n
}

func (n *ids) vip(e loader.Endpoint) (loader.VipID, error) {
	id, ok := n.vips[e]
	if ok {
		return id, nil
	}
	if id = lowest(n.usedVips, &n.nextVip); id == 0 {
		return 0, fmt.Errorf("vip %s: more than %d vips, those counted whose flows are not over yet", e, mostIDs)
	}
	n.vips[e] = id
	return id, nil
}

func (n *ids) backend(vip loader.VipID, real netip.AddrPort) (loader.BackendID, error) {
	key := backendKey{vip, real}
	id, ok := n.backends[key]
	if ok {
		return id, nil
	}
	if id = lowest(n.usedBackends, &n.nextBackend); id == 0 {
		return 0, fmt.Errorf("real %s: more than %d reals of all vips together, those counted whose flows are not over yet", real, mostIDs)
	}
	n.backends[key] = id
	return id, nil
}

// lowest takes the lowest id from next on that is not used; 0: there is none.
func lowest[ID ~uint16](used map[ID]bool, next *int) ID {
	for ; *next <= mostIDs; *next++ {
		if id := ID(*next); !used[id] {
			used[id] = true
			return id
		}
	}
	return 0
}
