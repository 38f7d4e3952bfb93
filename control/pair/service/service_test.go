package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
)

// A world is a directory in which services run: a file of its name is there.
type world struct {
	t      *testing.T
	dir    string
	events chan string
}

func newWorld(t *testing.T) *world {
	return &world{t: t, dir: t.TempDir(), events: make(chan string, 100)}
}

func (w *world) services(list ...config.Service) *Services {
	last := ""
	var s *Services
	s = New(list, func(events []Event) {
		for _, e := range events {
			w.events <- e.String()
		}
		if fault := s.Fault(); fault != last {
			last = fault
			w.events <- "fault: " + fault
		}
	})
	w.t.Cleanup(s.Close)
	return s
}

func (w *world) shell(script string, args ...any) []string {
	return []string{"/bin/sh", "-c", "cd " + w.dir + "; " + fmt.Sprintf(script, args...)}
}

func (w *world) service(name string) config.Service {
	return config.Service{
		Name: name, Start: w.shell("echo start %[1]s >> log; touch %[1]s", name), Stop: w.shell("echo stop %[1]s >> log; rm %[1]s", name),
		Status: w.shell("test -e %s", name), Restarts: 1, Timeout: 20 * time.Second, Interval: 50 * time.Millisecond,
	}
}

func (w *world) hears(want ...string) {
	w.t.Helper()
	for _, want := range want {
		select {
		case got := <-w.events:
			if got != want {
				w.t.Fatalf("%q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			w.t.Fatalf("nothing, want %q", want)
		}
	}
}

func (w *world) await(name string) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(w.dir, name)); err == nil {
			return
		} else if time.Now().After(deadline) {
			w.t.Fatal(err)
		}
	}
}

func (w *world) log() string {
	data, _ := os.ReadFile(filepath.Join(w.dir, "log"))
	return strings.ReplaceAll(strings.TrimSpace(string(data)), "\n", ", ")
}

func rested(t *testing.T, s *Services, hard bool) error {
	t.Helper()
	done := make(chan error, 1)
	s.Rest(hard, func(err error) { done <- err })
	return awaited(t, done)
}

func awaited(t *testing.T, done chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("nobody says that they rest")
		return nil
	}
}

func TestPrograms(t *testing.T) {
	w := newWorld(t)
	one, two := w.service("one"), w.service("two")
	two.Critical = true
	s := w.services(one, two)
	s.Run()
	w.hears("service one started", "service two started")
	if err := os.Remove(filepath.Join(w.dir, "two")); err != nil {
		t.Fatal(err)
	}
	failed := "it does not run: /bin/sh: exit status 1"
	// What is to stop is gone already: the script fails, and it is started all the same.
	w.hears("service two is started again: "+failed, "service two started")
	if err := os.Remove(filepath.Join(w.dir, "two")); err != nil {
		t.Fatal(err)
	}
	w.hears("service two has failed and is left alone: "+failed, "fault: service two has failed: "+failed)
	if err := rested(t, s, false); err != nil {
		t.Fatal(err)
	}
	w.hears("service one stopped")
	// The rest may come before what had failed is stopped once more.
	got := strings.Replace(w.log(), "stop two, stop one", "stop one", 1)
	if want := "start one, start two, stop two, start two, stop one"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestWishes(t *testing.T) {
	w := newWorld(t)
	slow, stuck := w.service("slow"), w.service("stuck")
	slow.Start = w.shell("touch slow starting; sleep 1000")
	stuck.Stop = w.shell("touch stopping; sleep 1000")
	stuck.Timeout = 2 * time.Second
	s := w.services(stuck, slow)
	s.Run()
	w.hears("service stuck started")
	w.await("starting")
	// It hangs, and nobody waits for it.
	if err := rested(t, s, true); err != nil {
		t.Fatal(err)
	}
	w.hears("service slow stopped", "service stuck did not stop and is left behind: /bin/sh: not done after 2s, killed")

	os.Remove(filepath.Join(w.dir, "stopping"))
	stuck.Timeout = 20 * time.Second
	s = w.services(stuck)
	s.Run()
	s.Rest(false, nil)
	s.Run()
	called := make(chan error, 1)
	s.Rest(false, func(err error) { called <- err })
	w.await("stopping")
	s.Run()
	if err := awaited(t, called); !errors.Is(err, ErrRun) {
		t.Errorf("called off, it says %v", err)
	}

	stuck.Timeout = 2 * time.Second
	s = w.services(stuck)
	if err := rested(t, s, false); err == nil || err.Error() != "service stuck does not stop: /bin/sh: not done after 2s, killed" {
		t.Error(err)
	}
	if err := rested(t, w.services(), false); err != nil {
		t.Errorf("without services: %v", err)
	}
}

// Units are asked for by systemctl.
func TestUnits(t *testing.T) {
	w := newWorld(t)
	script := "#!/bin/sh\ncd " + w.dir + `
case $1 in
is-active) cat state 2>/dev/null || echo inactive; grep -q ^active state 2>/dev/null || exit 3 ;;
start) echo "$@" >> log; echo active > state ;;
stop) echo "$@" >> log; [ ! -e hangs ] || sleep 1000; rm state ;;
kill) echo "$@" >> log; rm state ;;
esac
`
	if err := os.WriteFile(filepath.Join(w.dir, "systemctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", w.dir+":"+os.Getenv("PATH"))
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	unit := config.Service{Name: "ftp.service", Unit: "ftp.service", Timeout: 20 * time.Second, Interval: time.Hour}
	s := w.services(unit)
	s.Run()
	w.hears("service ftp.service started")
	if err := rested(t, s, false); err != nil {
		t.Fatal(err)
	}
	write("state", "activating\n") // as a standby whose systemd starts it: it is not at rest
	if err := rested(t, w.services(unit), true); err != nil {
		t.Fatal(err)
	}
	write("state", "active\n")
	write("hangs", "")
	unit.Timeout = 2 * time.Second
	if err := rested(t, w.services(unit), true); err != nil {
		t.Fatal(err)
	}
	want := "start ftp.service, stop ftp.service, stop ftp.service, stop ftp.service, kill --signal=SIGKILL ftp.service"
	if got := w.log(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
