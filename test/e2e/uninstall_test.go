package e2e

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/test/lab"
	"golang.org/x/sys/unix"
)

// TestUninstall: after a start, traffic and an end of whatever kind, uninstall leaves
// the machine as it was.
func TestUninstall(t *testing.T) {
	for name, test := range map[string]struct {
		options lab.Options
		end     unix.Signal
	}{
		"stopped":   {lab.Options{}, unix.SIGTERM},
		"killed":    {lab.Options{}, unix.SIGKILL},
		"one-armed": {lab.Options{OneArmed: true}, unix.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			l := bareLab(t, test.options)
			startWeb(t, l)
			before := machine(t, l)
			if err := l.StartDaemon(); err != nil {
				t.Fatal(err)
			}
			service(t, l, vip4())
			service(t, l, vip6())
			lbctl(t, l, "add-vip", "203.0.113.80:80", "--leg", "none")
			lbctl(t, l, "stats", "--zero")
			running := machine(t, l)
			for _, what := range []string{"ip address", "managed neighbours -4", "managed neighbours -6", "programs", "files of bpf", "files of run"} {
				if before[what] == running[what] {
					t.Errorf("%s of a running router are not seen: %q", what, running[what])
				}
			}
			refusal := refused(t, uninstallCommand(l), 1)
			if want := "held by another tarpond: stop it first"; !strings.Contains(refusal, want) {
				t.Errorf("beside a daemon it says %q, want %q", refusal, want)
			}
			if _, err := get(l, vip4()); err != nil {
				t.Errorf("after a refused uninstall: %v", err)
			}
			if err := l.KillDaemon(test.end); err != nil {
				t.Fatal(err)
			}
			elsewhere := uninstallCommand(l)
			elsewhere.Args[1] = "--net=/run/netns/" + l.NS("client")
			if said := refused(t, elsewhere, 1); !strings.Contains(said, "another network namespace") {
				t.Errorf("in another namespace it says %q", said)
			}
			out, err := uninstallCommand(l).CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, machine(t, l)); diff != "" {
				t.Errorf("before and after (-before +after):\n%s", diff)
			}
			if out, err := uninstallCommand(l).CombinedOutput(); err != nil || strings.Count(string(out), "\n") != 1 {
				t.Errorf("a second time: %v: %s", err, out)
			}
		})
	}
}

func uninstallCommand(l *lab.Lab) *exec.Cmd {
	cmd := l.DaemonCommand()
	cmd.Args = append(cmd.Args, "uninstall")
	return cmd
}

// machine is everything of the router that a daemon could have changed, by what
// shows it.
func machine(t *testing.T, l *lab.Lab) map[string]string {
	t.Helper()
	shown := map[string]string{}
	run := func(args ...string) string {
		t.Helper()
		out, err := l.Run("router", args...)
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return out
	}
	show := func(args ...string) { shown[strings.Join(args, " ")] = run(args...) }
	show("ip", "address")
	for _, family := range []string{"-4", "-6"} {
		show("ip", family, "route", "show", "table", "all")
		show("ip", family, "rule")
		show("ip", family, "neighbour", "show", "nud", "permanent")
		show("ip", family, "neighbour", "show", "proxy")
		shown["managed neighbours "+family] = strings.Join(managed(run("ip", "-d", family, "neighbour")), "\n")
	}
	show("tc", "qdisc", "show")
	show("nft", "list", "ruleset")
	show("sysctl", "-a", "-r", `^net\.ipv[46]\.(conf|neigh|ip_forward|route)`)
	for _, leg := range legsOf(t, run("ip", "-j", "link")) {
		for _, hook := range []string{"ingress", "egress"} {
			show("tc", "filter", "show", "dev", leg, hook)
		}
		show("ethtool", "-k", leg)
	}
	shown["programs"] = run("bpftool", "net", "show")
	for _, dir := range []string{"bpf", "run"} {
		shown["files of "+dir] = files(t, filepath.Join(l.Dir, dir))
	}
	return shown
}

var isManaged = regexp.MustCompile(`(?m)^.*\bmanaged\b.*$`)

func managed(neighbours string) []string { return isManaged.FindAllString(neighbours, -1) }

func legsOf(t *testing.T, links string) (names []string) {
	t.Helper()
	var list []struct {
		Name string `json:"ifname"`
	}
	if err := json.Unmarshal([]byte(links), &list); err != nil {
		t.Fatal(err)
	}
	for _, link := range list {
		names = append(names, link.Name)
	}
	return names
}

func files(t *testing.T, dir string) string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Join(paths, "\n")
}
