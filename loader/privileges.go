package loader

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// A capability that a router's daemon needs, and for what.
type capability struct {
	name   string
	number int
	// admin: CAP_SYS_ADMIN includes it.
	admin bool
}

var capabilities = []capability{
	{"CAP_BPF", unix.CAP_BPF, true},              // maps and programs
	{"CAP_PERFMON", unix.CAP_PERFMON, true},      // spin locks, arithmetic on pointers
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN, false}, // links, addresses, sysctls, neighbours
	{"CAP_NET_RAW", unix.CAP_NET_RAW, false},     // ARP, ND and pings
}

// MissingCapabilities is the error of a process that lacks some: their names.
type MissingCapabilities []string

func (m MissingCapabilities) Error() string {
	return fmt.Sprintf("missing %s: run as root, or give the service these capabilities", strings.Join(m, ", "))
}

// checkPrivileges names every capability that is missing: the kernel's own
// answer is "operation not permitted", whatever it misses.
func checkPrivileges() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	missing := missingOf(uint64(data[0].Effective) | uint64(data[1].Effective)<<32)
	if len(missing) > 0 {
		return MissingCapabilities(missing)
	}
	return nil
}

// missingOf lists what a set of capabilities, one bit each, lacks.
func missingOf(effective uint64) (missing []string) {
	has := func(number int) bool { return effective&(1<<number) != 0 }
	for _, need := range capabilities {
		if !has(need.number) && !(need.admin && has(unix.CAP_SYS_ADMIN)) {
			missing = append(missing, need.name)
		}
	}
	return missing
}
