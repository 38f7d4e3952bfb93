package e2e

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tarpon-lb/tarpon/test/lab"
	"golang.org/x/sys/unix"
)

// refused runs a daemon that must end by itself, and returns what it said.
func refused(t *testing.T, cmd *exec.Cmd, code int) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		t.Errorf("ended with %v, want exit code %d:\n%s", err, code, out)
	}
	return string(out)
}

// TestRefusals: each gets a message that names the thing and the remedy, and leaves
// running traffic as it was.
func TestRefusals(t *testing.T) {
	l := newLab(t, lab.Options{})
	service(t, l, vip4())
	works := func(t *testing.T) {
		t.Helper()
		if _, err := get(l, vip4()); err != nil {
			t.Errorf("traffic that ran: %v", err)
		}
	}
	says := func(t *testing.T, text string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("it does not say %q:\n%s", want, text)
			}
		}
		works(t)
	}
	t.Run("second daemon", func(t *testing.T) {
		says(t, refused(t, l.DaemonCommand(), 1), "held by another tarpond", "--bpffs")
	})
	t.Run("bpffs not mounted", func(t *testing.T) {
		cmd := l.DaemonCommand()
		dir := t.TempDir()
		cmd.Args = append(cmd.Args, "--bpffs", dir, "--run-dir", dir, "--state-dir", dir)
		says(t, refused(t, cmd, 1), dir, "mount -t bpf bpf")
	})
	t.Run("missing privileges", func(t *testing.T) {
		cmd := l.DaemonCommand()
		cmd.Args = append([]string{cmd.Args[0], cmd.Args[1], "setpriv", "--bounding-set=-bpf,-perfmon,-net_admin,-net_raw,-sys_admin", "--inh-caps=-all"}, cmd.Args[2:]...)
		says(t, refused(t, cmd, 77), "missing CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW: run as root")
	})
	t.Run("no run directory", func(t *testing.T) {
		cmd := l.DaemonCommand()
		cmd.Args = append(cmd.Args, "--run-dir", "/proc/nowhere/run")
		says(t, refused(t, cmd, 1), "/proc/nowhere")
	})
	t.Run("no configuration", func(t *testing.T) {
		cmd := l.DaemonCommand()
		cmd.Args = append(cmd.Args, "--state-dir", t.TempDir(), "--config", "/nonexistent.yaml")
		says(t, refused(t, cmd, 78), "/nonexistent.yaml")
	})
	t.Run("wrong configuration", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte("legs: {wan: {role: both, interface: nowhere0}}\nvips: [{vip: 300.0.0.1:80}]\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := l.DaemonCommand()
		cmd.Args = append(cmd.Args, "--state-dir", t.TempDir(), "--config", file)
		says(t, refused(t, cmd, 78), file, "300.0.0.1")
	})
	t.Run("interface does not exist", func(t *testing.T) {
		out, err := l.Lbctl("apply", "-f", altered(t, l, "interface: wan", "interface: nowhere0"))
		if err == nil {
			t.Error("applied")
		}
		says(t, out, "nowhere0")
	})
	t.Run("flows.max below what is live", func(t *testing.T) {
		works(t)
		out, err := l.Lbctl("apply", "-f", altered(t, l, "max_ipv4: 65536", "max_ipv4: 1"))
		if err == nil {
			t.Error("applied")
		}
		says(t, out, "max_ipv4", "flows are live, more than 1")
	})
	for name, args := range map[string][]string{
		"real of the other family": {"add-real", vip4(), "[2001:db8:2::11]:80"},
		"real is the router":       {"add-real", vip4(), "10.0.0.1:80"},
		"real is a vip":            {"add-real", vip4(), lab.Vip4(0) + ":80"},
		"vip in no network":        {"add-vip", "198.18.5.5:80"},
		"vip is multicast":         {"add-vip", "224.0.0.1:80"},
		"vip exists":               {"add-vip", vip4(), "--scheduler", "rr"},
		"unknown scheduler":        {"add-vip", lab.Vip4(9) + ":80", "--scheduler", "best"},
		"no such vip":              {"del-vip", "192.0.2.77:80"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := l.Lbctl(args...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("lbctl %v: %v, want exit code 1: %s", args, err, out)
			}
			t.Log(strings.TrimSpace(out))
			works(t)
		})
	}
	t.Run("vip is the gateway", func(t *testing.T) {
		if out, err := l.Run("router", "ip", "route", "add", "default", "via", lab.Client4); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		out, err := l.Lbctl("add-vip", lab.Client4+":80")
		if err == nil {
			t.Error("added")
		}
		says(t, out, lab.Client4, "default gateway")
	})
	t.Run("vip is the router's own address", func(t *testing.T) {
		own := "192.0.2.1/tcp" // every port
		out, err := l.Lbctl("add-vip", own, "--check", "none")
		if err == nil {
			t.Error("added")
		}
		says(t, words(out), "ssh included", "--shares-own-address")
		lbctl(t, l, "add-vip", own, "--check", "none", "--shares-own-address")
		works(t)
		if told := lbctl(t, l, "events"); strings.Contains(told, "was here before") {
			t.Errorf("it is told what was said:\n%s", told)
		}
		if out, err := l.Lbctl("edit-vip", own, "--shares-own-address=false"); err == nil {
			t.Error("taken back: ", out)
		}
		lbctl(t, l, "del-vip", own)
	})
	t.Run("edited by hand", func(t *testing.T) {
		data, err := os.ReadFile(l.Config())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(l.Config(), append(data, "# by hand\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := l.Lbctl("add-vip", lab.Vip4(3)+":80")
		if err == nil {
			t.Error("a change over a file that was edited by hand")
		}
		says(t, out, "edited by hand", "lbctl reload")
		lbctl(t, l, "reload")
		lbctl(t, l, "add-vip", lab.Vip4(3)+":80")
		if data, err := os.ReadFile(l.Config()); err != nil || !strings.Contains(string(data), "# by hand\n") {
			t.Errorf("the comment is gone (%v):\n%s", err, data)
		}
	})
	t.Run("daemon not reachable", func(t *testing.T) {
		if err := l.KillDaemon(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		out, err := l.Lbctl("status")
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 4 {
			t.Errorf("%v, want exit code 4", err)
		}
		says(t, out, "tarpond.sock")
	})
}

// altered is a copy of the running configuration with a change.
func altered(t *testing.T, l *lab.Lab, from, to string) string {
	t.Helper()
	data, err := os.ReadFile(l.Config())
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), from, to, 1)
	if text == string(data) {
		t.Fatalf("%q is not in the configuration:\n%s", from, data)
	}
	file := filepath.Join(t.TempDir(), "altered.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// An interface with somebody else's XDP program is left as it is, and nothing of
// ours stays on it.
func TestTakenInterface(t *testing.T) {
	l := bareLab(t, lab.Options{})
	if out, err := l.Run("router", "ip", "link", "set", "dev", "wan", "xdp", "off"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	take(t, l, "wan")
	out := refused(t, l.DaemonCommand(), 1)
	if !strings.Contains(out, "wan") || !strings.Contains(out, "another owner") {
		t.Errorf("it says:\n%s", out)
	}
	if out, err := l.Run("router", "ip", "link", "show", "wan"); err != nil || !strings.Contains(out, "prog/xdp") {
		t.Errorf("the other's program is gone (%v):\n%s", err, out)
	}
	if found := ours(t, l, "wan"); len(found) > 0 {
		t.Errorf("on the refused interface stayed: %v", found)
	}
}

// What ran before an attempt that is refused goes on.
func TestTakenLater(t *testing.T) {
	l := newLab(t, lab.Options{Mode: "tc"})
	service(t, l, vip4())
	before := pinnedIDs(t, l)
	take(t, l, "wan")
	out, err := l.Lbctl("apply", "-f", altered(t, l, "interface: wan, mode: tc", "interface: wan, mode: native"))
	if err == nil || !strings.Contains(words(out), "another owner") {
		t.Errorf("applied (%v), or it says:\n%s", err, out)
	}
	if after := pinnedIDs(t, l); !maps.Equal(before, after) {
		t.Errorf("the ids of maps and links were %v and are %v", before, after)
	}
	if _, err := get(l, vip4()); err != nil {
		t.Error(err)
	}
}

// take puts another's XDP program on one of the router's interfaces.
func take(t *testing.T, l *lab.Lab, name string) {
	t.Helper()
	object, err := filepath.Abs("../../test/bench/bench_x86_bpfel.o")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := l.Run("router", "ip", "link", "set", "dev", name, "xdpdrv", "object", object, "program", "pass"); err != nil {
		t.Fatalf("iproute2 cannot load the program: %v: %s", err, out)
	}
}

// ours is what the router has of ours for an interface.
func ours(t *testing.T, l *lab.Lab, name string) (found []string) {
	t.Helper()
	run := func(args ...string) string {
		out, err := l.Run("router", args...)
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return out
	}
	index, _, _ := strings.Cut(run("ip", "-o", "link", "show", name), ":")
	pins := filepath.Join(l.Dir, "bpf/tarpon/v*")
	links, err := filepath.Glob(filepath.Join(pins, "links", "*-"+index))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		found = append(found, "pin "+filepath.Base(link))
	}
	ids, err := filepath.Glob(filepath.Join(pins, "maps", "leg_ids"))
	if err != nil || len(ids) != 1 {
		t.Fatalf("the legs' ids are pinned as %v (%v)", ids, err)
	}
	if legs := run("bpftool", "map", "dump", "pinned", ids[0]); regexp.MustCompile(`"ifindex": ` + index + `\b`).MatchString(legs) {
		found = append(found, "a leg's id")
	}
	if strings.Contains(run("tc", "qdisc", "show", "dev", name), "clsact") { // below kernel 6.6
		found = append(found, "clsact")
	}
	return found
}
