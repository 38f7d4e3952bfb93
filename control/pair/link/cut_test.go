package link

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

const inside = "TARPON_LINK_INSIDE"

// A cut by which nobody hears anything: packets vanish. In a network namespace, where
// the test runs once more.
func TestCut(t *testing.T) {
	if os.Getenv(inside) == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestCut$", "-test.v")
		again.Env = append(os.Environ(), inside+"=1")
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		out, err := again.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatalf("in a namespace of its own: %v", err)
		}
		return
	}
	sh := func(command string) {
		t.Helper()
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	sh("ip link set lo up && nft add table ip cut && nft 'add chain ip cut in { type filter hook input priority 0; }'")
	a, b := pair(t, pathA, pathB)
	one, two := start(t, a), start(t, b)
	eventually(t, "both paths up", func() bool { return isUp(one, "hb", 2)() && isUp(two, "hb", 2)() })
	for range 2 {
		sh("nft add rule ip cut in ip saddr 127.0.21.0/24 drop")
		began := time.Now()
		eventually(t, "lan carries", func() bool { return isUp(one, "lan", 1)() && isUp(two, "lan", 1)() })
		t.Logf("the carrier changed %s after the cut", time.Since(began))
		sh("nft flush chain ip cut in")
		eventually(t, "hb is back", func() bool { return isUp(one, "hb", 2)() && isUp(two, "hb", 2)() })
	}
}
