package loader

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// header is bpf/abi.h: the numbers in it, of enums and #defines.
func header(t *testing.T) map[string]int {
	t.Helper()
	numbers := map[string]int{}
	for _, name := range []string{"../bpf/abi.h", "../bpf/maps.h", "../bpf/admit.h", "../bpf/route.h"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(string(data), "")
		for _, m := range regexp.MustCompile(`#define (\w+) (\d+)`).FindAllStringSubmatch(text, -1) {
			numbers[m[1]], _ = strconv.Atoi(m[2])
		}
		for _, enum := range regexp.MustCompile(`enum \w+ \{([^}]*)\}`).FindAllStringSubmatch(text, -1) {
			next := 0
			for _, entry := range strings.Split(enum[1], ",") {
				key, value, has := strings.Cut(strings.TrimSpace(entry), " = ")
				if key == "" {
					continue
				}
				if bit, ok := strings.CutPrefix(value, "1 << "); ok {
					n, _ := strconv.Atoi(bit)
					next = 1 << n
				} else if has {
					next, _ = strconv.Atoi(value)
				}
				numbers[key] = next
				next++
			}
		}
	}
	return numbers
}

func TestNumbersAreTheHeaders(t *testing.T) {
	c := header(t)
	for name, n := range map[string]int{
		"ABI_VERSION": abiVersion, "MAX_VIPS": maxVips, "MAX_BACKENDS": maxBackends, "MAX_LEGS": maxLegs,
		"LEG_PREFIXES": maxPrefixes, "LEG_INDICES": legIndices, "FLOW_PAGE": pageSize,
		"VIP_DROP_EMPTY": vipDropEmpty, "VIP_REJECT_MIDSTREAM": vipRejectMidStream, "VIP_ANY_PORT": vipAnyPort, "VIP_IPV6": vipIPv6,
		"BACKEND_DOWN": backendDown, "BACKEND_RESET": backendReset, "BACKEND_REMOVED": backendRemoved, "BACKEND_IPV6": backendIPv6,
		"SCHEDULE_BY_HASH": int(ByHash), "SCHEDULE_BY_TURN": int(ByTurn),
		"LEG_OUTSIDE": int(Outside), "LEG_INSIDE": int(Inside),
		"ADDRESS_VIP": int(AddressVip), "ADDRESS_VIP_ANY_PORT": int(AddressVipAnyPort),
		"ADDRESS_REAL": int(AddressReal), "ADDRESS_REAL_ANY_PORT": int(AddressRealAnyPort),
		"FLOW_NONE": int(stateNone), "FLOW_GONE": int(stateGone), "FLOW_HANDSHAKE": int(Handshake), "FLOW_ANSWERED": int(Answered),
		"FLOW_ESTABLISHED": int(Established), "FLOW_FIN_CLIENT": int(FinClient), "FLOW_FIN_REAL": int(FinReal),
		"FLOW_CLOSED": int(Closed), "FLOW_UDP_UNREPLIED": int(UDPUnreplied), "FLOW_UDP": int(UDPReplied),
		"TIMEOUT_HANDSHAKE": Handshake.timeout(), "TIMEOUT_ESTABLISHED": Established.timeout(), "TIMEOUT_CLOSING": FinClient.timeout(),
		"TIMEOUT_CLOSED": Closed.timeout(), "TIMEOUT_UDP": UDPReplied.timeout(), "TIMEOUT_UDP_UNREPLIED": UDPUnreplied.timeout(),
		"ROUTE_HOP": int(WayHop), "ROUTE_KERNEL": int(WayKernel), "ROUTE_NONE": int(WayNone), "ROUTE_BLACKHOLE": int(WayBlackhole),
		"ROUTE_UNREACHABLE": int(WayUnreachable), "ROUTE_PROHIBITED": int(WayProhibited),
		"ROUTE_FORWARDING_OFF": int(WayForwardingOff), "ROUTE_TOO_BIG": int(WayTooBig),
		"REFUSED_EMPTY": refusalNumber(RefusedNobody), "REFUSED_SELF": refusalNumber(RefusedSelf),
		"REFUSED_FULL_NAT": refusalNumber(RefusedFullNAT), "REFUSED_TAKEN": refusalNumber(RefusedTaken),
		"FLOW_BROUGHT": int(valueBrought >> 32),
		"FLOW_CHANGED": int(valueGone(0) >> 32 &^ uint64(stateGone)),
	} {
		if have, ok := c[name]; !ok || have != n {
			t.Errorf("%s is %d in the header (there: %v), %d in Go", name, have, ok, n)
		}
	}
}

func refusalNumber(r Refusal) int {
	for number, refusal := range refusals {
		if refusal == r {
			return int(number)
		}
	}
	return 0
}

func TestRecordsAreWhatTheKernelHas(t *testing.T) {
	for name, size := range map[string][2]uintptr{
		"vip": {unsafe.Sizeof(xdpVip{}), 64}, "backend": {unsafe.Sizeof(xdpBackend{}), 64}, "hop": {unsafe.Sizeof(xdpHop{}), 24},
	} {
		if size[0] != size[1] {
			t.Errorf("%s has %d bytes, want %d", name, size[0], size[1])
		}
	}
}
