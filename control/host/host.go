// Package host is the machine around the program: the addresses a router
// holds, the sysctls it needs, the interfaces it finds, and the next hops that
// its routing tables and neighbour caches lead to.
//
// Everything works in the network namespace of the thread that called Open:
// daemons are run by `nsenter --net`, so there is no namespace argument. The
// sockets made by Open stay in that namespace; sysctls and listening sockets
// are read through /proc/sys/net and /proc/thread-self/net, which follow the
// calling thread.
//
// Whatever is made is recorded first in made.json (see Made), so that a daemon
// killed at any moment leaves nothing that Undo cannot find.
package host

import (
	"fmt"
	"path/filepath"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Host is one network namespace. Its methods may be called concurrently.
type Host struct {
	netlink *netlink.Handle
	routing *routing
	made    *Made
	sysctls sysctls

	// apply is held by one change to the machine at a time.
	apply sync.Mutex

	mu sync.Mutex // of wanted
	// wanted is what SetAddresses was asked for last; the Watcher reports the
	// loss of any of them.
	wanted map[Address]bool
}

// Open returns the network namespace of the calling thread, and what earlier
// runs made there by the record in runDir, which must exist.
func Open(runDir string) (*Host, error) {
	made, err := OpenMade(filepath.Join(runDir, MadeFile))
	if err != nil {
		return nil, err
	}
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	routing, err := openRouting()
	if err != nil {
		handle.Close()
		return nil, err
	}
	return &Host{
		netlink: handle,
		routing: routing,
		made:    made,
		sysctls: sysctls{root: procSys, ipv6Routes: procIPv6Routes},
		wanted:  map[Address]bool{},
	}, nil
}

// Made is the record of what was made.
func (h *Host) Made() *Made { return h.made }

// Close ends the netlink sockets. What was made stays. A Watcher is closed
// before its Host.
func (h *Host) Close() error {
	h.netlink.Close()
	h.routing.close()
	return nil
}

func (h *Host) wantedAddresses() []Address {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Address, 0, len(h.wanted))
	for a := range h.wanted {
		list = append(list, a)
	}
	return list
}

// dumpTries is how often a dump is repeated that the kernel says was
// interrupted by a change; the last one's answer is then an error.
const dumpTries = 5

// dump calls list until it was not interrupted.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	var (
		items []T
		err   error
	)
	for range dumpTries {
		if items, err = list(); err == nil {
			return items, nil
		}
		if !isInterrupted(err) {
			break
		}
	}
	return nil, err
}
