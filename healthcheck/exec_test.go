package healthcheck

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func shell(script string) Exec {
	return Exec{Address: netip.MustParseAddrPort("192.0.2.1:8080"), Argv: Argv([]string{"/bin/sh", "-c", script, "check", "a b"})}
}

func TestExec(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"well", "exit 0", ""},
		{"well, whatever it says", "echo fine; echo >&2 more", ""},
		{"not", "exit 3", "exit status 3"},
		{"says why", "echo 'the database is asleep'; echo more; exit 1", "the database is asleep"},
		{"says why aside", "echo >&2 asleep; exit 1", "asleep"},
		{"much", "head -c 1000000 /dev/zero | tr '\\0' x; exit 1", strings.Repeat("x", maxLine)},
		{"killed", "kill -9 $$", "signal: killed"},
		{"environment", `[ "$TARPON_REAL $TARPON_PORT" = "192.0.2.1 8080" ]`, ""},
		{"arguments", `[ "$1" = "a b" ]`, ""},
		{"a child that holds the output", "sleep 60 & exit 0", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := ask(t, shell(test.script), time.Minute); got != test.want {
				t.Errorf("%.300q, want %q", got, test.want)
			}
		})
	}
}

// TestExecHangs: at the timeout its children are killed too.
func TestExecHangs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alive")
	// While a process has the file's lock, a child is alive.
	probe := shell("exec 9>" + file + "; flock 9; sleep 60 & sleep 60")
	if got := ask(t, probe, 2*time.Second); got != "timeout" {
		t.Errorf("%q", got)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	deadline := time.Now().Add(10 * time.Second)
	for unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		if time.Now().After(deadline) {
			t.Fatal("a child lives on")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestExecNotThere: a program that cannot be run takes no server away.
func TestExecNotThere(t *testing.T) {
	set := NewSet[int]()
	events := stream[int]{set: set}
	defer set.Close()
	config := Config{Interval: 100 * time.Millisecond, Timeout: 100 * time.Millisecond, Rise: 1, Fall: 1}
	set.Update(map[int]Check{0: {Probe: Exec{Argv: "/nowhere"}, Config: config, Start: State{Up: true}, Now: true}})
	if e := events.next(); !e.State.Up || e.State.Error != "not asked: fork/exec /nowhere: no such file or directory" {
		t.Errorf("%+v", e.State)
	}
}

// TestExecInTurn: no more than a few at a time, and those that wait do not time out.
func TestExecInTurn(t *testing.T) {
	dir := t.TempDir()
	script := `f=$(mktemp ` + dir + `/XXXXXX); set -- ` + dir + `/*; sleep 0.2; rm $f; [ $# -le 8 ] || { echo $# at a time; exit 1; }; # `
	set := NewSet[int]()
	events := stream[int]{set: set}
	defer set.Close()
	checks := map[int]Check{}
	for n := range 4 * maxScripts {
		probe := shell(script + strings.Repeat("x", n))
		checks[n] = Check{Probe: probe, Config: Config{Interval: time.Hour, Timeout: 20 * time.Second, Rise: 1, Fall: 1}, Now: true}
	}
	begun := time.Now()
	set.Update(checks)
	for range checks {
		if e := events.next(); e.State.Error != "" {
			t.Errorf("%d: %s", e.Key, e.State.Error)
		}
	}
	if took := time.Since(begun); took < 800*time.Millisecond {
		t.Errorf("all within %s", took)
	}
}
