package host

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netns"
)

// openTest opens a Host in a namespace of the test's own, after running commands
// there, one a line. Its record lies in the returned directory.
func openTest(t *testing.T, commands string) (*Host, string) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
	own, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v (run this test as root)", err)
	}
	t.Cleanup(func() { own.Close() })
	for line := range strings.Lines(commands) {
		if strings.TrimSpace(line) != "" {
			run(t, line)
		}
	}
	dir := t.TempDir()
	h, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h, dir
}

// run runs a command in the test's namespace and returns what it printed.
func run(t *testing.T, line string) string {
	t.Helper()
	args := strings.Fields(line)
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.TrimSpace(line), err, out)
	}
	return string(out)
}
