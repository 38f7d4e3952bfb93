package loader

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// checkPrivileges names every capability that is missing: the kernel's own
// answer is "operation not permitted", whatever it misses.
func checkPrivileges() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	has := func(capability int) bool {
		return data[capability/32].Effective&(1<<(capability%32)) != 0
	}
	var missing []string
	for _, need := range []struct {
		name       string
		capability int
	}{
		{"CAP_BPF", unix.CAP_BPF},
		{"CAP_PERFMON", unix.CAP_PERFMON},
		{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN},
	} {
		// CAP_SYS_ADMIN includes the first two.
		if !has(need.capability) && (need.capability == unix.CAP_NET_ADMIN || !has(unix.CAP_SYS_ADMIN)) {
			missing = append(missing, need.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing %s: run as root, or give the service these capabilities", strings.Join(missing, ", "))
	}
	return nil
}
