package replica

import (
	"encoding/binary"
	"hash/fnv"
	"math/bits"
	"net/netip"

	"github.com/tarpon-lb/tarpon/loader"
)

// parts is how many parts flows are divided into for comparison. A part is small
// enough to be sent again whole: a thousand flows of a million.
const parts = 1024

// Sums are the parts' digests: of each, the sum of its flows' hashes. Sums do not
// depend on an order, so two tables that hold the same flows in other places agree.
type sums [parts]uint64

// partSet is a set of parts.
type partSet [parts / 64]uint64

func (s *partSet) add(part int)      { s[part/64] |= 1 << (part % 64) }
func (s *partSet) has(part int) bool { return s[part/64]>>(part%64)&1 != 0 }
func (s *partSet) empty() bool       { return *s == partSet{} }

func (s *partSet) count() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// all is the set of all parts.
func all() (s partSet) {
	for i := range s {
		s[i] = ^uint64(0)
	}
	return s
}

// differing are the parts whose sums differ.
func (s *sums) differing(other *sums) (set partSet) {
	for part := range s {
		if s[part] != other[part] {
			set.add(part)
		}
	}
	return set
}

// mix is murmur3's finalizer.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}

// hashed is a backend's name and its two hashes. They are of names, never of ids, and
// without a secret: both routers must come to the same.
type hashed struct {
	name      loader.BackendName
	vip, real uint64
	held      uint64 // hashes.held when it was looked up
}

func hashName(name loader.BackendName) hashed {
	vip := fnv.New64a()
	address := name.Vip.Addr().As16()
	vip.Write(address[:])
	vip.Write([]byte{byte(name.Vip.Port() >> 8), byte(name.Vip.Port()), byte(name.Vip.Protocol)})
	real := fnv.New64a()
	address = name.Real.Addr().As16()
	real.Write(address[:])
	real.Write([]byte{byte(name.Real.Port() >> 8), byte(name.Real.Port())})
	return hashed{name: name, vip: mix(vip.Sum64()), real: mix(real.Sum64())}
}

// flowHash is the hash of a flow's identity: client, vip, and on an any-port vip the
// port that the client chose. Its part follows from it.
func flowHash(client netip.AddrPort, vipPort uint16, vip uint64) uint64 {
	ports := uint64(client.Port())<<16 | uint64(vipPort)
	if client.Addr().Is4() {
		address := client.Addr().As4()
		return mix(mix(uint64(binary.BigEndian.Uint32(address[:]))<<32|ports) ^ vip)
	}
	address := client.Addr().As16()
	return mix(mix(mix(binary.BigEndian.Uint64(address[:8])^ports)+binary.BigEndian.Uint64(address[8:])) ^ vip)
}

func partOf(flow uint64) int { return int(flow >> 54) }

// contribution is what a flow adds to its part's sum. State and age are left out: they
// differ between two tables of the same flows.
func contribution(flow, real uint64) uint64 { return mix(flow ^ real) }
