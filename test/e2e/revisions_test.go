package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// exits runs lbctl and wants an exit code.
func exits(t *testing.T, l *lab.Lab, code int, args ...string) string {
	t.Helper()
	out, err := l.Lbctl(args...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != code {
		t.Fatalf("lbctl %s: exit code %d, want %d: %s", strings.Join(args, " "), got, code, out)
	}
	return out
}

// contains compares words: lines are broken where they are long.
func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(words(text), words(want)) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

// words are a text's, with one space between them.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

func revisions(t *testing.T, l *lab.Lab) (list []api.Revision) {
	t.Helper()
	if err := json.Unmarshal([]byte(lbctl(t, l, "history", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func running(t *testing.T, l *lab.Lab) api.Revision {
	t.Helper()
	list := revisions(t, l)
	return list[len(list)-1]
}

func configFile(t testing.TB, l *lab.Lab) string {
	t.Helper()
	data, err := os.ReadFile(l.Config())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// vipAdded is a copy of the configuration with one more vip.
func vipAdded(t *testing.T, l *lab.Lab) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "next.yaml")
	before := configFile(t, l)
	first := regexp.MustCompile(`(?m)^vips:\n( *)- `) // indented as it was written
	text := first.ReplaceAllString(before, fmt.Sprintf("vips:\n$1- {vip: %s:80, reals: [%s]}\n$1- ", lab.Vip4(7), l.Real4(1)))
	if text == before {
		t.Fatalf("no list of vips:\n%s", before)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func has(t *testing.T, l *lab.Lab, vip string) bool {
	t.Helper()
	vips, err := l.Vips()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vips {
		if v.Vip == vip {
			return true
		}
	}
	return false
}

// Every change is a revision that can be seen, compared and gone back to.
func TestRevisions(t *testing.T) {
	l := newLab(t, lab.Options{})
	service(t, l, vip4())
	before, first := configFile(t, l), running(t, l)
	if first.Author != "0 root" {
		t.Errorf("the author is %q, want root's uid and name", first.Author)
	}
	added := vipAdded(t, l)

	contains(t, exits(t, l, 3, "plan", "-f", added), "vip "+lab.Vip4(7)+":80/tcp added", "flows would be touched")
	contains(t, exits(t, l, 0, "plan", "-f", l.Config()), "no change")
	contains(t, exits(t, l, 1, "plan", "-f", altered(t, l, "vips:", "vipz:")), "vipz", "revision")
	contains(t, exits(t, l, 0, "del-real", vip4(), l.Real4(1), "--dry-run"), "real "+l.Real4(1)+":80 removed", "now ")
	if configFile(t, l) != before || running(t, l).Revision != first.Revision {
		t.Fatal("a plan changed something")
	}

	contains(t, exits(t, l, 0, "apply", "-f", added), fmt.Sprintf("revision %d: vip %s:80/tcp added", first.Revision+1, lab.Vip4(7)), " flows touched")
	contains(t, exits(t, l, 1, "del-vip", vip4(), "--if-revision", fmt.Sprint(first.Revision)), "another change came between")
	contains(t, lbctl(t, l, "diff", fmt.Sprint(first.Revision)), "--- revision", "- {vip: "+lab.Vip4(7)+":80, ")
	contains(t, lbctl(t, l, "rollback", fmt.Sprint(first.Revision)), fmt.Sprintf("revision %d: back to revision %d: vip %s:80/tcp removed", first.Revision+2, first.Revision, lab.Vip4(7)))
	if configFile(t, l) != before || has(t, l, lab.Vip4(7)+":80/tcp") {
		t.Error("the rollback did not bring the old file back")
	}
	if last := running(t, l); last.SHA256 != first.SHA256 || last.Parent == first.SHA256 {
		t.Errorf("after the rollback revision %+v runs; it went back to %+v", last, first)
	}
	exits(t, l, 1, "rollback", "12345")

	if err := l.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	if last := running(t, l); last.Revision != first.Revision+2 {
		t.Errorf("a restart made revision %d of the same file", last.Revision)
	}
	for line := range strings.Lines(lbctl(t, l, "history")) {
		if len(line) > 81 {
			t.Errorf("a line of %d columns: %s", len(line)-1, line)
		}
	}
}

// What is not confirmed in time goes by itself, whatever happens to the daemon.
func TestConfirm(t *testing.T) {
	l := newLab(t, lab.Options{})
	service(t, l, vip4())
	const vip = "192.0.2.107:80/tcp"
	added, before := vipAdded(t, l), configFile(t, l)
	gone := func(t *testing.T) {
		t.Helper()
		if err := lab.Wait(30*time.Second, func() error {
			if has(t, l, vip) {
				return errors.New("it is still there")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if configFile(t, l) != before {
			t.Errorf("the file is not what it was:\n%s", configFile(t, l))
		}
		contains(t, lbctl(t, l, "history"), "tarpond", "was not confirmed")
		contains(t, exits(t, l, 1, "confirm"), "no revision waits")
	}

	t.Run("expires", func(t *testing.T) {
		contains(t, lbctl(t, l, "apply", "-f", added, "--confirm", "1s"), "lbctl confirm")
		gone(t)
	})
	t.Run("confirmed", func(t *testing.T) {
		lbctl(t, l, "apply", "-f", added, "--confirm", "10m")
		contains(t, exits(t, l, 1, "status"), "lbctl confirm")
		contains(t, exits(t, l, 1, "del-vip", vip4()), "waits for its confirmation", "lbctl rollback")
		contains(t, lbctl(t, l, "confirm"), "confirmed")
		if err := l.KillDaemon(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := l.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		if !has(t, l, vip) || !running(t, l).ConfirmBy.IsZero() {
			t.Error("the confirmation was forgotten")
		}
		lbctl(t, l, "del-vip", vip)
	})
	t.Run("killed while it waits", func(t *testing.T) {
		before = configFile(t, l)
		lbctl(t, l, "apply", "-f", vipAdded(t, l), "--confirm", "3s")
		if err := l.KillDaemon(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := l.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		gone(t)
	})
	t.Run("edited by hand while it waits", func(t *testing.T) {
		lbctl(t, l, "apply", "-f", vipAdded(t, l), "--confirm", "2s")
		edited := configFile(t, l) + "# mine\n"
		if err := os.WriteFile(l.Config(), []byte(edited), 0o644); err != nil {
			t.Fatal(err)
		}
		before = edited
		gone(t)
		contains(t, exits(t, l, 1, "status"), "edited by hand")
	})
}

// A broken file at a start: the last revision runs, and nothing is changed until the
// file is in order.
func TestBrokenFileAtStart(t *testing.T) {
	l := newLab(t, lab.Options{})
	service(t, l, vip4())
	good, first := configFile(t, l), running(t, l)
	restart := func(t *testing.T) {
		t.Helper()
		if err := l.KillDaemon(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := l.StartDaemon(); err != nil {
			t.Fatal(err)
		}
	}
	broken := func(t *testing.T, says ...string) {
		t.Helper()
		restart(t)
		says = append(says, "config: ", fmt.Sprintf("running revision %d", first.Revision), "lbctl reload")
		contains(t, exits(t, l, 1, "status"), says...)
		contains(t, exits(t, l, 1, "del-vip", vip4()), says...)
		exits(t, l, 1, "reload")
		if _, err := get(l, vip4()); err != nil {
			t.Error(err)
		}
		if running(t, l).Revision != first.Revision {
			t.Errorf("revision %d runs", running(t, l).Revision)
		}
	}
	write := func(t *testing.T, text string) {
		t.Helper()
		if err := os.WriteFile(l.Config(), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("invalid", func(t *testing.T) {
		write(t, strings.Replace(good, "vips:", "vipz:", 1))
		broken(t, l.Config()+":", "vipz")
	})
	t.Run("missing", func(t *testing.T) {
		if err := os.Remove(l.Config()); err != nil {
			t.Fatal(err)
		}
		broken(t, l.Config(), "no such file")
	})
	t.Run("in order again", func(t *testing.T) {
		write(t, lbctl(t, l, "export"))
		contains(t, lbctl(t, l, "reload"), "unchanged")
		exits(t, l, 0, "status")
	})
	t.Run("edited and valid", func(t *testing.T) {
		write(t, good+"# a comment\n")
		restart(t)
		if last := running(t, l); last.Revision != first.Revision+1 || last.Author != "file" || last.Parent != first.SHA256 {
			t.Errorf("the revision is %+v, after %+v", last, first)
		}
		exits(t, l, 0, "status")
	})
}

// A real that comes to an address which has a next hop has it at once.
func TestNextHopOfAnotherPort(t *testing.T) {
	l := newLab(t, lab.Options{})
	service(t, l, vip4())
	hasHop := func(backend int) error {
		out, err := l.Run("router", "bpftool", "-j", "map", "lookup", "pinned", filepath.Join(l.Dir, "bpf/tarpon/v1/maps/backends"),
			"key", fmt.Sprint(backend), "0", "0", "0")
		var record struct{ Value []string }
		if err != nil || json.Unmarshal([]byte(out), &record) != nil || len(record.Value) != 64 {
			return fmt.Errorf("backend %d: %w: %s", backend, err, out)
		}
		if strings.Join(record.Value[44:48], "") == "0x000x000x000x00" { // bpf/abi.h: hop.ifindex
			return fmt.Errorf("backend %d has no next hop", backend)
		}
		return nil
	}
	if err := lab.Wait(10*time.Second, func() error { return hasHop(1) }); err != nil {
		t.Fatal(err)
	}
	lbctl(t, l, "add-real", vip4(), l.Real4(1)+":81", "--check", "none")
	if err := hasHop(4); err != nil {
		t.Error(err)
	}
}
