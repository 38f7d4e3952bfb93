package host

import (
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// features are a device's by their names in the kernel, as `ethtool -k` reads them.
type features struct {
	active     map[string]bool
	changeable map[string]bool
}

// featuresOf asks the device's driver. It is asked in the network namespace of the
// calling thread.
func featuresOf(index int) (features, error) {
	answer, err := featuresRequest(unix.ETHTOOL_MSG_FEATURES_GET, index)
	if err != nil {
		return features{}, err
	}
	f := features{map[string]bool{}, map[string]bool{}}
	for _, attr := range answer {
		switch attr.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.ETHTOOL_A_FEATURES_ACTIVE:
			f.active = bitNames(attr)
		case unix.ETHTOOL_A_FEATURES_HW:
			f.changeable = bitNames(attr)
		}
	}
	return f, nil
}

// setFeatures asks the driver to turn some on or off, all at once: each change may
// reset the device. Whether it did so is to be seen.
func setFeatures(index int, names []string, on bool) error {
	wanted := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_WANTED|unix.NLA_F_NESTED, nil)
	bits := wanted.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS|unix.NLA_F_NESTED, nil)
	for _, name := range names {
		bit := bits.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS_BIT|unix.NLA_F_NESTED, nil)
		bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_NAME, nl.ZeroTerminated(name))
		if on {
			bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_VALUE, nil)
		}
	}
	_, err := featuresRequest(unix.ETHTOOL_MSG_FEATURES_SET, index, wanted)
	return err
}

// featuresRequest speaks ethtool's netlink, and returns the attributes of its answer.
func featuresRequest(command uint8, index int, data ...nl.NetlinkRequestData) ([]syscall.NetlinkRouteAttr, error) {
	family, err := netlink.GenlFamilyGet("ethtool")
	if err != nil {
		return nil, fmt.Errorf("ask the kernel for ethtool's netlink: %w", err)
	}
	request := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
	request.AddData(&nl.Genlmsg{Command: command, Version: 1})
	header := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_HEADER|unix.NLA_F_NESTED, nil)
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_INDEX, nl.Uint32Attr(uint32(index)))
	request.AddData(header)
	for _, d := range data {
		request.AddData(d)
	}
	messages, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil || len(messages) == 0 || len(messages[0]) < nl.SizeofGenlmsg {
		return nil, err
	}
	return nl.ParseRouteAttr(messages[0][nl.SizeofGenlmsg:])
}

// bitNames lists the bits that are set. A set with a mask lists others too.
func bitNames(set syscall.NetlinkRouteAttr) map[string]bool {
	names := map[string]bool{}
	masked := len(nested(set, unix.ETHTOOL_A_BITSET_NOMASK)) == 0
	for _, bits := range nested(set, unix.ETHTOOL_A_BITSET_BITS) {
		for _, bit := range nested(bits, unix.ETHTOOL_A_BITSET_BITS_BIT) {
			if masked && len(nested(bit, unix.ETHTOOL_A_BITSET_BIT_VALUE)) == 0 {
				continue
			}
			for _, name := range nested(bit, unix.ETHTOOL_A_BITSET_BIT_NAME) {
				names[nl.BytesToString(name.Value)] = true
			}
		}
	}
	return names
}

// nested are the attributes of one type in another.
func nested(attr syscall.NetlinkRouteAttr, kind uint16) []syscall.NetlinkRouteAttr {
	all, err := nl.ParseRouteAttr(attr.Value)
	if err != nil {
		return nil
	}
	var list []syscall.NetlinkRouteAttr
	for _, a := range all {
		if a.Attr.Type&^unix.NLA_F_NESTED == kind {
			list = append(list, a)
		}
	}
	return list
}
