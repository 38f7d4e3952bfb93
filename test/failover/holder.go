package failover

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/packet"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// held are the addresses that a router's kernel has.
func held(l *lab.Lab, router *lab.Router) (map[string]bool, error) {
	out, err := l.Run(router.Host, "ip", "-j", "addr")
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", router.Host, err, out)
	}
	var links []struct {
		Info []struct {
			Local string `json:"local"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(out), &links); err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, link := range links {
		for _, a := range link.Info {
			all[a.Local] = true
		}
	}
	return all, nil
}

// answerers asks by ARP who has an address, and returns the MACs of all who answer.
func answerers(l *lab.Lab, who, address string) (macs []string, err error) {
	err = l.In(who, func() error {
		device, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		socket, err := packet.Listen(device, packet.Raw, 0x0806, nil)
		if err != nil {
			return err
		}
		defer socket.Close()
		target := netip.MustParseAddr(address).As4()
		everybody := net.HardwareAddr{255, 255, 255, 255, 255, 255}
		frame := slices.Concat(everybody, device.HardwareAddr, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, device.HardwareAddr, make([]byte, 4+6), target[:])
		if _, err := socket.WriteTo(frame, &packet.Addr{HardwareAddr: everybody}); err != nil {
			return err
		}
		if err := socket.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			return err
		}
		for buffer := make([]byte, 2048); ; {
			n, _, err := socket.ReadFrom(buffer)
			if err != nil {
				return nil // the time is over
			}
			b := buffer[:n]
			if n >= 42 && binary.BigEndian.Uint16(b[20:]) == 2 && netip.AddrFrom4([4]byte(b[28:32])) == netip.MustParseAddr(address) {
				macs = append(macs, net.HardwareAddr(b[22:28]).String())
			}
		}
	})
	slices.Sort(macs)
	return slices.Compact(macs), err
}
