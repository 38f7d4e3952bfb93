package lab

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"
)

// FloodSYN has the client send SYNs to an IPv4 vip, each from another address of
// 198.18.0.0/15 and port, as fast as one core can, until the function that it returns
// is called; which says how many were sent.
func (l *Lab) FloodSYN(vip netip.AddrPort) (stop func() (sent int, err error), err error) {
	var socket int
	err = l.In("client", func() (err error) {
		socket, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	if err != nil {
		return nil, err
	}
	type result struct {
		sent int
		err  error
	}
	ended, flooded := make(chan struct{}), make(chan result)
	go func() {
		defer unix.Close(socket)
		packet, to := synTo(vip), &unix.SockaddrInet4{Addr: vip.Addr().As4()}
		for n := 0; ; n++ {
			select {
			case <-ended:
				flooded <- result{n, nil}
				return
			default:
			}
			from := rand.Uint64()
			binary.BigEndian.PutUint32(packet[12:], 198<<24|18<<16|uint32(from)&(1<<17-1))
			binary.BigEndian.PutUint16(packet[20:], uint16(from>>32)|1024)
			if err := unix.Sendto(socket, packet, 0, to); err != nil && err != unix.ENOBUFS {
				<-ended
				flooded <- result{n, err}
				return
			}
		}
	}()
	return func() (int, error) {
		close(ended)
		r := <-flooded
		return r.sent, r.err
	}, nil
}

// synTo is an IPv4 packet without its sender. The kernel fills in the header's checksum;
// without TCP's no server answers.
func synTo(vip netip.AddrPort) []byte {
	packet := make([]byte, 40)
	packet[0], packet[8], packet[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	copy(packet[16:], vip.Addr().AsSlice())
	binary.BigEndian.PutUint16(packet[22:], vip.Port())
	packet[32], packet[33] = 5<<4, 0x02
	return packet
}
