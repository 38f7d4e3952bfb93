package host

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// XDP forwards without telling the neighbour cache, so an entry that only XDP
// uses goes stale, and a real that comes back with another MAC is lost. Managed
// neighbours (NTF_EXT_MANAGED, kernel 5.16) are asked again by the kernel
// itself, for as long as the entry is there.

// manageBatch is how many neighbours are set at a time: each batch writes the
// record once, and lets messages be handled in between.
const manageBatch = 1024

// A neighbourKeeper knows which neighbours still have to be managed.
type neighbourKeeper struct {
	waiting     map[neighbourKey]bool
	notBefore   time.Time // of the next batch
	confirmed   bool      // the kernel has shown that it knows managed neighbours
	unsupported bool      // or that it does not
	refused     map[string]bool
}

func (k *neighbourKeeper) queue(key neighbourKey) {
	if k.waiting == nil {
		k.waiting = map[neighbourKey]bool{}
	}
	k.waiting[key] = true
}

// needs reports whether a next hop depends on the neighbour.
func (w *Watcher) needs(key neighbourKey) bool {
	return w.gateways[key] || len(w.dependents[key]) > 0
}

// reviewNeighbours queues the needed ones that are not managed, and lets go of
// those that are needed no longer.
func (w *Watcher) reviewNeighbours() {
	queue := func(key neighbourKey) {
		if n := w.view.neighbours[key]; !n.managed && !n.fixed() {
			w.neighbours.queue(key)
		}
	}
	for key := range w.dependents {
		queue(key)
	}
	for key := range w.gateways {
		queue(key)
	}
	var dropped []neighbourKey
	for _, n := range w.host.made.neighboursExcept(w.needs) {
		key := neighbourKey{n.Index, n.Addr}
		if w.view.neighbours[key].managed {
			if err := w.host.releaseNeighbour(n); err != nil {
				w.note(err.Error())
				continue // it stays on record, and is tried again at the next review
			}
		}
		dropped = append(dropped, key)
	}
	if err := w.host.made.dropNeighbours(dropped); err != nil {
		w.note(err.Error())
	}
}

// manage has the kernel manage a batch of those that wait. Permanent entries,
// which an administrator made, are left alone: managing one would change it.
func (w *Watcher) manage() {
	k := &w.neighbours
	if len(k.waiting) == 0 || k.unsupported {
		return
	}
	if wait := time.Until(k.notBefore); wait > 0 {
		w.wakeIn(wait)
		return
	}
	var batch []MadeNeighbour
	for key := range k.waiting {
		if len(batch) == manageBatch {
			w.wakeIn(settleTime)
			break
		}
		delete(k.waiting, key)
		entry, existed := w.view.neighbours[key]
		out := w.view.links[key.Index]
		// A link that comes up brings a review.
		if !w.needs(key) || entry.managed || entry.fixed() || !out.up {
			continue
		}
		n := MadeNeighbour{Interface: out.name, Index: key.Index, Addr: key.Addr, Existed: existed}
		if before, recorded := w.host.made.neighbour(key); recorded {
			n.Existed = before.Existed
		}
		batch = append(batch, n)
	}
	if err := w.host.made.putNeighbours(batch); err != nil {
		w.retryNeighbours(batch, err)
		return
	}
	w.manageBatch(batch)
}

func (w *Watcher) manageBatch(batch []MadeNeighbour) {
	for i, n := range batch {
		if err := w.host.manageNeighbour(n); err != nil {
			w.retryNeighbours(batch[i:i+1], err)
			continue
		}
		if !w.neighbours.confirmed && !w.confirmManaged(n) {
			w.giveUpNeighbours(batch)
			return
		}
		// Its own message follows; until then it is not to be queued again.
		key := neighbourKey{n.Index, n.Addr}
		entry := w.view.neighbours[key]
		entry.managed = true
		w.view.neighbours[key] = entry
	}
}

// retryNeighbours puts back what could not be managed.
func (w *Watcher) retryNeighbours(batch []MadeNeighbour, err error) {
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		w.giveUpNeighbours(batch)
		return
	}
	text := err.Error()
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) {
		text = "keep neighbours up to date: the kernel's neighbour table is full; raise net.ipv4.neigh.default.gc_thresh3 (and ipv6)"
	}
	if w.neighbours.refused == nil {
		w.neighbours.refused = map[string]bool{}
	}
	if !w.neighbours.refused[text] && len(w.neighbours.refused) < 16 {
		w.neighbours.refused[text] = true
		w.note(text)
	}
	for _, n := range batch {
		w.neighbours.queue(neighbourKey{n.Index, n.Addr})
	}
	w.neighbours.notBefore = time.Now().Add(retryTime)
	w.wakeIn(retryTime)
}

// confirmManaged reads a neighbour back: a kernel before 5.16 takes the request
// and ignores the flag. On doubt it says yes.
func (w *Watcher) confirmManaged(n MadeNeighbour) bool {
	list, err := w.host.listNeighbours()
	if err != nil {
		return true
	}
	for _, entry := range list {
		if key, ok := keyOf(entry); ok && key == (neighbourKey{n.Index, n.Addr}) {
			w.neighbours.confirmed = entry.FlagsExt&netlink.NTF_EXT_MANAGED != 0
			return w.neighbours.confirmed
		}
	}
	return true
}

func (w *Watcher) giveUpNeighbours(batch []MadeNeighbour) {
	w.neighbours.unsupported = true
	w.note("this kernel has no managed neighbours (they are of 5.16): a real that changes its MAC without saying so is lost until its neighbour entry is deleted")
	for _, n := range batch {
		if err := w.host.made.dropNeighbours([]neighbourKey{{n.Index, n.Addr}}); err != nil {
			w.note(err.Error())
		}
	}
}

// manageNeighbour does what `ip neigh replace ADDR dev DEV managed` does: no
// state and no address of its own, so that the kernel resolves it.
func (h *Host) manageNeighbour(n MadeNeighbour) error {
	err := h.netlink.NeighSet(&netlink.Neigh{
		LinkIndex: n.Index,
		IP:        n.Addr.AsSlice(),
		State:     netlink.NUD_NONE,
		Flags:     netlink.NTF_USE,
		FlagsExt:  netlink.NTF_EXT_MANAGED,
	})
	if err != nil {
		return fmt.Errorf("keep neighbour %s on %s up to date: %w", n.Addr, n.Interface, err)
	}
	return nil
}

// releaseNeighbour lets go of a managed neighbour: one that the kernel knew
// before us becomes an ordinary entry again, another is deleted.
func (h *Host) releaseNeighbour(n MadeNeighbour) error {
	entry := &netlink.Neigh{LinkIndex: n.Index, IP: n.Addr.AsSlice()}
	var err error
	if n.Existed {
		entry.Flags = netlink.NTF_USE
		err = h.netlink.NeighSet(entry)
	} else {
		err = h.netlink.NeighDel(entry)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("let go of neighbour %s on %s: %w", n.Addr, n.Interface, err)
	}
	return nil
}

// NeighboursOn are the machines that the kernel has seen on an interface, with where.
func (h *Host) NeighboursOn(index int) (map[netip.Addr]MAC, error) {
	list, err := h.listNeighbours()
	seen := map[netip.Addr]MAC{}
	for _, n := range list {
		addr, ok := netip.AddrFromSlice(n.IP)
		if ok && n.LinkIndex == index && len(n.HardwareAddr) == len(MAC{}) && n.State&(unix.NUD_FAILED|unix.NUD_INCOMPLETE|unix.NUD_NOARP) == 0 {
			seen[addr.Unmap()] = MAC(n.HardwareAddr)
		}
	}
	return seen, err
}
