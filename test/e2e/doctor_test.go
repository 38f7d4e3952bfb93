package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// findings are the doctor's, and the exit code says whether there is something to do.
func findings(l *lab.Lab) ([]api.Finding, error) {
	out, err := l.Lbctl("doctor", "-o", "json")
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return nil, fmt.Errorf("lbctl doctor: %w: %s", err, out)
	}
	var list []api.Finding
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("lbctl doctor: %w: %s", err, out)
	}
	toDo := false
	for _, f := range list {
		toDo = toDo || f.Severity != api.SeverityNote
	}
	if toDo != (err != nil) {
		return nil, fmt.Errorf("lbctl doctor ended with %v for %s", exit, out)
	}
	return list, nil
}

// finds waits until the doctor finds something of a kind that says all of these.
func finds(t *testing.T, l *lab.Lab, kind string, says ...string) {
	t.Helper()
	err := lab.Wait(20*time.Second, func() error {
		list, err := findings(l)
		if err != nil {
			return err
		}
		for _, f := range list {
			if f.Kind != kind {
				continue
			}
			text := fmt.Sprintf("%s %s: %s -> %s", f.Severity, f.Where, f.What, f.Remedy)
			for _, say := range says {
				if !strings.Contains(text, say) {
					return fmt.Errorf("%s does not say %q: %s", kind, say, text)
				}
			}
			return nil
		}
		return fmt.Errorf("no %s among %+v", kind, list)
	})
	if err != nil {
		t.Error(err)
	}
}

// well waits until there is nothing to do.
func well(t *testing.T, l *lab.Lab) {
	t.Helper()
	var out string
	err := lab.Wait(20*time.Second, func() (err error) {
		out, err = l.Lbctl("doctor")
		return err
	})
	if err != nil || !strings.HasSuffix(out, "all is well\n") {
		t.Errorf("%v: %s", err, out)
	}
}

// Each thing that a lab can have wrong is found, named with its remedy, and gone
// when it is put right.
func TestDoctor(t *testing.T) {
	l := newLab(t, lab.Options{})
	do := func(command string) {
		t.Helper()
		who, rest, _ := strings.Cut(command, " ")
		if out, err := l.Run(who, "sh", "-c", rest); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	do("router sysctl -qw net.ipv6.conf.all.forwarding=1")
	service(t, l, vip4())
	service(t, l, vip6())
	well(t, l)
	for _, test := range []struct {
		name, spoil, kind string
		says              []string
		mend              string
	}{
		{"firewall", "router nft add table ip t; nft add chain ip t c '{type filter hook input priority 0;}'; nft add rule ip t c ip daddr " + lab.Vip4(0) + " drop",
			"firewall_rule", []string{"warning nftables ip t c: it names the address of vip " + vip4()}, "router nft delete table ip t"},
		{"IPv6 forwarding", "router sysctl -qw net.ipv6.conf.all.forwarding=0", "ipv6_forwarding", []string{"warning", "net.ipv6.conf.all.forwarding=1"},
			"router sysctl -qw net.ipv6.conf.all.forwarding=1"},
		{"MTU", "router ip link set lan mtu 1400", "mtu", []string{"leg lan (lan): its MTU is 1400", "ip link set lan mtu 1500"}, "router ip link set lan mtu 1500"},
		{"duplicate vip", "client ip addr add " + lab.Vip4(0) + "/32 dev eth0", "duplicate_address", []string{"fault leg wan (wan)", "has " + lab.Vip4(0) + " too"},
			"client ip addr del " + lab.Vip4(0) + "/32 dev eth0"},
		{"duplicate IPv6 vip", "client ip addr add " + lab.Vip6(0) + "/128 dev eth0 nodad", "duplicate_address", []string{"has " + lab.Vip6(0) + " too"},
			"client ip addr del " + lab.Vip6(0) + "/128 dev eth0"},
		{"client beside the reals", "real2 curl -sS -m 1 http://" + vip4() + "/ || true", "needs_full_nat",
			[]string{"warning leg lan (lan)", "packets were dropped", "10.0.0.0/24 has reals of vip " + vip4(), "ip neigh show dev lan", "--to " + vip4()},
			"router " + filepath.Join(l.Bin, "lbctl") + " --socket " + filepath.Join(l.Dir, "run", "tarpond.sock") + " stats --zero"},
		{"duplicate gateway", "real2 ip addr add 10.0.0.254/32 dev eth0", "duplicate_address", []string{"fault leg lan (lan)", "has 10.0.0.254 too"},
			"real2 ip addr del 10.0.0.254/32 dev eth0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			do(test.spoil)
			finds(t, l, test.kind, test.says...)
			do(test.mend)
			well(t, l)
		})
	}
	t.Run("forwarding", func(t *testing.T) { forwardingOff(t, l) })
	t.Run("gateway", func(t *testing.T) { anotherGateway(t, l) })
	for line := range strings.Lines(exits(t, l, 1, "doctor")) { // of the last one
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}

// forwardingOff is looked for at once: the daemon sets it back within 10 s.
func forwardingOff(t *testing.T, l *lab.Lab) {
	err := lab.Wait(20*time.Second, func() error {
		if out, err := l.Run("router", "sysctl", "-qw", "net.ipv4.conf.wan.forwarding=0"); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		list, err := findings(l)
		for _, f := range list {
			if f.Kind == "sysctl" && f.Severity == api.SeverityFault && f.Where == "net.ipv4.conf.wan.forwarding" {
				return nil
			}
		}
		return errors.Join(fmt.Errorf("not among %+v", list), err)
	})
	if err != nil {
		t.Error(err)
	}
	well(t, l)
}

// anotherGateway is the classic mistake: checks succeed, clients get no answer.
func anotherGateway(t *testing.T, l *lab.Lab) {
	vip := lab.Vip4(7) + ":80"
	if out, err := l.Run("real3", "ip", "route", "replace", "default", "via", l.Real4(2)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lbctl(t, l, "add-vip", vip, "--real", l.Real4(3)+":80")
	if err := l.WaitUp(vip+"/tcp", 1); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := l.Run("client", "curl", "-sS", "-m", "1", "http://"+vip+"/"); err == nil {
			t.Fatal("the client got an answer")
		}
	}
	finds(t, l, "no_replies", "fault "+l.Real4(3)+":80 of vip "+vip, "never did one come back", "it answers the router's own checks",
		"ip route replace default via 10.0.0.254")
}

// Somebody else's programs on a leg are named.
func TestDoctorSeesOtherPrograms(t *testing.T) {
	l := newLab(t, lab.Options{Mode: "tc"})
	attachPass(t, l, "wan")
	finds(t, l, "other_program", "warning leg wan (wan)", "somebody else's XDP program")
	finds(t, l, "mode", "note leg", "mode tc, not native: the configuration says so")
}

// attachPass runs an XDP program that passes all on an interface of the router.
func attachPass(t *testing.T, l *lab.Lab, device string) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		done <- func() error {
			router, err := netns.GetFromName(l.NS("router"))
			if err != nil {
				return err
			}
			defer router.Close()
			if err := netns.Set(router); err != nil {
				return err
			}
			leg, err := netlink.LinkByName(device)
			if err != nil {
				return err
			}
			program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
				Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
			})
			if err != nil {
				return err
			}
			defer program.Close()
			held, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: leg.Attrs().Index, Flags: link.XDPGenericMode})
			if err == nil {
				t.Cleanup(func() { held.Close() })
			}
			return err
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
