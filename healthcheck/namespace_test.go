package healthcheck

import (
	"os"
	"os/exec"
	"testing"
)

// inNamespace says whether this is a network of the test's own. If not, it runs the
// test once more, in a process that has one.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("TARPON_TEST_NAMESPACE") != "" {
		command(t, "ip", "link", "set", "lo", "up")
		return true
	}
	if os.Getuid() != 0 {
		t.Fatal("needs root: it makes a network namespace")
	}
	cmd := exec.Command("unshare", "--net", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), "TARPON_TEST_NAMESPACE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func command(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
