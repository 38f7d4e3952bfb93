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
	if id, ok := n.vips[e]; ok {
		return id, nil
	}
	for ; n.nextVip <= mostIDs; n.nextVip++ {
		id := loader.VipID(n.nextVip)
		if !n.usedVips[id] {
			n.usedVips[id] = true
			n.vips[e] = id
			return id, nil
		}
	}
	return 0, fmt.Errorf("vip %s: more than %d vips, those counted whose flows are not over yet", e, mostIDs)
}

func (n *ids) backend(vip loader.VipID, real netip.AddrPort) (loader.BackendID, error) {
	key := backendKey{vip, real}
	if id, ok := n.backends[key]; ok {
		return id, nil
	}
	for ; n.nextBackend <= mostIDs; n.nextBackend++ {
		id := loader.BackendID(n.nextBackend)
		if !n.usedBackends[id] {
			n.usedBackends[id] = true
			n.backends[key] = id
			return id, nil
		}
	}
	return 0, fmt.Errorf("real %s: more than %d reals of all vips together, those counted whose flows are not over yet", real, mostIDs)
}
