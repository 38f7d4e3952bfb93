package host

import (
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// An eventSource is where the kernel's messages about changes come from.
type eventSource interface {
	// receive waits for messages. After an error other than errClosed some may
	// have been lost.
	receive() ([]syscall.NetlinkMessage, error)
	// drain throws away what is waiting. Until then the kernel goes on losing
	// messages, and what waits is older than any dump that follows.
	drain()
	close()
}

// eventGroups are subscribed to by one socket, so that what happened first is
// seen first.
var eventGroups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_NEXTHOP,
}

// eventBuffer holds the messages of 65,000 neighbours that change at once
// (the kernel counts about a kilobyte for each).
const eventBuffer = 64 << 20

type subscription struct{ socket *nl.NetlinkSocket }

func subscribe() (*subscription, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, eventGroups...)
	if err != nil {
		return nil, fmt.Errorf("subscribe to network changes: %w", err)
	}
	// Beyond net.core.rmem_max only by force, which takes CAP_NET_ADMIN; with
	// less than asked for, an overflow costs a listing.
	if socket.SetReceiveBufferSize(eventBuffer, true) != nil {
		if err := socket.SetReceiveBufferSize(eventBuffer, false); err != nil {
			socket.Close()
			return nil, fmt.Errorf("subscribe to network changes: %w", err)
		}
	}
	return &subscription{socket}, nil
}

func (s *subscription) receive() ([]syscall.NetlinkMessage, error) {
	for {
		messages, from, err := s.socket.Receive()
		if err != nil {
			return nil, err
		}
		if from.Pid == nl.PidKernel {
			return messages, nil
		}
	}
}

// drainLimit bounds drain in a storm; what is left then is handled in order.
const drainLimit = 1 << 20

func (s *subscription) drain() {
	var buffer [64 << 10]byte
	for range drainLimit {
		_, _, err := unix.Recvfrom(s.socket.GetFd(), buffer[:], unix.MSG_DONTWAIT)
		if err != nil && err != unix.ENOBUFS && err != unix.EINTR {
			return
		}
	}
}

func (s *subscription) close() { s.socket.Close() }
