// Package namespace gives a test a network of its own: what it makes there is gone with
// it, and meets nobody's.
package namespace

import (
	"os"
	"os/exec"
	"testing"
)

const inside = "TARPON_TEST_NAMESPACE"

// Own says whether the test runs in a network of its own, which has lo. If not, it runs
// the test once more, in a process that has one; the caller returns then.
func Own(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		Command(t, "ip", "link", "set", "lo", "up")
		return true
	}
	if os.Getuid() != 0 {
		t.Fatal("needs root: it makes a network namespace")
	}
	cmd := exec.Command("unshare", "--net", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), inside+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// Command runs a command, as to make what the network has.
func Command(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
}
