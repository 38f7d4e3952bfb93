package loader

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMissingCapabilities(t *testing.T) {
	set := func(numbers ...int) (effective uint64) {
		for _, number := range numbers {
			effective |= 1 << number
		}
		return effective
	}
	for _, test := range []struct {
		effective uint64
		missing   string
	}{
		{^uint64(0), ""},
		{set(unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW), ""},
		{set(unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW), ""},
		{set(unix.CAP_SYS_ADMIN), "CAP_NET_ADMIN CAP_NET_RAW"},
		{set(unix.CAP_BPF, unix.CAP_NET_ADMIN), "CAP_PERFMON CAP_NET_RAW"},
		{0, "CAP_BPF CAP_PERFMON CAP_NET_ADMIN CAP_NET_RAW"},
	} {
		if missing := strings.Join(missingOf(test.effective), " "); missing != test.missing {
			t.Errorf("%#x lacks %q, want %q", test.effective, missing, test.missing)
		}
	}
}
