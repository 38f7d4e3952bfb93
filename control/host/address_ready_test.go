package host

import (
	"fmt"
	"testing"
	"time"
)

// An address is ready when SetAddresses returns: its first neighbour's answer is heard.
func TestAddressesAreReady(t *testing.T) {
	h, _ := openTest(t, `
		ip link set lo up
		ip link add wan type veth peer name far
		ip link set wan up
		ip link set far up
		ip addr add 2001:db8::1/64 dev wan nodad
	`)
	for i := range 100 {
		a := on("wan", fmt.Sprintf("2001:db8::%x/128", 0x100+i))
		setAddresses(t, h, a)
		if !h.isReady(a) {
			t.Fatalf("%s was added, and packets to it are not heard", a)
		}
	}
	begun := time.Now()
	setAddresses(t, h, on("lo", "2001:db8:7::1/128"))
	if took := time.Since(begun); took >= readyTime {
		t.Errorf("an address on lo was waited for in vain, for %s", took)
	}
}
