package loader

import (
	"encoding/binary"
	"net/netip"
	"time"
	"unsafe"
)

// The numbers of bpf/abi.h that types alone do not carry; a test compares them.
const (
	abiVersion = 1

	vipDropEmpty       = 1 << 0
	vipRejectMidStream = 1 << 1
	vipAnyPort         = 1 << 2
	vipIPv6            = 1 << 3

	backendDown    = 1 << 0
	backendReset   = 1 << 1
	backendRemoved = 1 << 2
	backendIPv6    = 1 << 3

	maxVips      = 65536
	maxBackends  = 65536
	maxLegs      = 64
	legIndices   = 4096
	maxPrefixes  = 8
	linesTotal   = 1 << 18
	slotsPerLine = 32
	flowPuts     = 128
)

// tick is the unit of the program's clock: 2^30 ns.
const tick = time.Duration(1 << 30)

// clockMask bounds the clock kept in a flow.
const clockMask = 1<<24 - 1

// ticks rounds a timeout up to ticks, at least one.
func ticks(d time.Duration) uint16 {
	n := (d + tick - 1) / tick
	return uint16(min(max(n, 1), 1<<16-1))
}

// Multi-byte fields in network order are kept in Go as the bytes lie in memory.
func networkPort(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

func hostPort(port uint16) uint16 { return networkPort(port) }

func toAddress(addr netip.Addr) (a xdpAddress) {
	if addr.Is4() {
		b := addr.As4()
		a.Words[0] = binary.NativeEndian.Uint32(b[:])
		return a
	}
	b := addr.As16()
	for i := range a.Words {
		a.Words[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return a
}

func fromAddress(a xdpAddress, v6 bool) netip.Addr {
	var b [16]byte
	for i, word := range a.Words {
		binary.NativeEndian.PutUint32(b[4*i:], word)
	}
	if v6 {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[:4]))
}

func word4(addr netip.Addr) uint32 { return toAddress(addr).Words[0] }

func mask4(n int) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], ^uint32(0)<<(32-n))
	return binary.NativeEndian.Uint32(b[:])
}

func mask6(n int) (a xdpAddress) {
	for i := range a.Words {
		a.Words[i] = mask4(min(max(n-32*i, 0), 32))
	}
	return a
}

// records views mapped memory as an array of one C type.
func records[T any](memory []byte) []T {
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(memory))), len(memory)/int(unsafe.Sizeof(t)))
}
