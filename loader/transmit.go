package loader

import (
	"encoding/binary"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// From include/uapi/linux/netdev.h.
const (
	netdevCmdDevGet       = 1
	netdevAttrIfindex     = 1
	netdevAttrXDPFeatures = 3
	netdevXDPActNdoXmit   = 4
)

// canTransmit says whether XDP may redirect to a device that runs XDP itself. The
// kernel tells from 6.3 on (a veth can only while its peer polls: GRO, or XDP);
// older ones are believed.
func canTransmit(ifindex int) bool {
	family, err := netdevFamily()
	if err != nil {
		return true
	}
	request := nl.NewNetlinkRequest(int(family), 0)
	request.AddData(&nl.Genlmsg{Command: netdevCmdDevGet, Version: 1})
	request.AddData(nl.NewRtAttr(netdevAttrIfindex, nl.Uint32Attr(uint32(ifindex))))
	messages, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil || len(messages) != 1 || len(messages[0]) < nl.SizeofGenlmsg {
		return true
	}
	attributes, err := nl.ParseRouteAttr(messages[0][nl.SizeofGenlmsg:])
	if err != nil {
		return true
	}
	for _, a := range attributes {
		if a.Attr.Type == netdevAttrXDPFeatures && len(a.Value) >= 8 {
			return binary.NativeEndian.Uint64(a.Value)&netdevXDPActNdoXmit != 0
		}
	}
	return true
}

func netdevFamily() (uint16, error) {
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return 0, err
	}
	return family.ID, nil
}
