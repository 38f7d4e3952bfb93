package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
	"golang.org/x/sys/unix"
)

// A daemon becomes the program that was installed over it: the same process, with no
// packet lost, no request refused, and at no moment room for another daemon.
func TestRestartInPlace(t *testing.T) {
	installed, versions := t.TempDir(), []string{"1.0", "1.1"}
	install := []func(string){packed(t, versions[0]), packed(t, versions[1])}
	install[1](installed)
	l := bareLab(t, lab.Options{})
	l.Bin = installed
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	var streams []*lab.Stream
	vips := echoService(t, l, "none")
	for _, at := range vips {
		for _, protocol := range []string{"tcp", "udp"} {
			s, err := l.NewStream(protocol, at, 2*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			streams = append(streams, s)
		}
	}
	ids, pid := pinnedIDs(t, l), l.DaemonPID()
	intruder := intrude(t, filepath.Join(l.Dir, "bpf/tarpon"))
	asked, changed := ask(t, l), change(t, l, vips[0])
	for n := range 6 {
		before := count(streams)
		version := versions[n%2]
		install[n%2](installed)
		if n%4 < 2 {
			if out := lbctl(t, l, "restart"); !strings.HasPrefix(out, "tarpond "+version+" runs, before it "+versions[1-n%2]) {
				t.Errorf("it says %q", out)
			}
		} else if err := syscall.Kill(pid, unix.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		if err := lab.Wait(10*time.Second, func() error {
			s, err := l.Status()
			if err == nil && s.Version != version {
				err = errors.New(s.Version + " runs")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if count(streams) == before {
			t.Fatal("no stream moved during a restart: nothing was tested")
		}
	}
	if got := program(t, pid); got != filepath.Join(installed, "tarpond") {
		t.Errorf("process %d runs %s", pid, got)
	}
	after := pinnedIDs(t, l)
	for name, id := range ids {
		if after[name] != id {
			t.Errorf("%s has id %s, had %s", name, after[name], id)
		}
	}
	if tries := intruder(); tries < 100 {
		t.Errorf("only %d tries to take the pins", tries)
	}
	if questions, changes := asked(), changed(); questions < 10 || changes < 10 {
		t.Errorf("only %d questions and %d changes", questions, changes)
	}
	for _, s := range streams {
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	}
}

// What does not run is not become.
func TestRestartRefused(t *testing.T) {
	installed := t.TempDir()
	packed(t, "1.0")(installed)
	l := bareLab(t, lab.Options{})
	l.Bin = installed
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(installed, "tarpond"), []byte("#!/bin/sh\necho broken >&2; exit 1\n"))
	out, err := l.Lbctl("restart")
	if err == nil || !strings.Contains(words(out), "does not run") || !strings.Contains(out, "broken") {
		t.Errorf("%v: %s", err, out)
	}
	if s, err := l.Status(); err != nil || s.Version != "1.0" {
		t.Errorf("after that %q runs (%v)", s.Version, err)
	}
}

// packed makes a version of both programs and returns what installs it over another,
// as packages do: by a rename.
func packed(t *testing.T, version string, flags ...string) (install func(dir string)) {
	t.Helper()
	made := t.TempDir()
	if err := compile(made, append(flags, "-ldflags", "-X github.com/tarpon-lb/tarpon/control/version.Number="+version)...); err != nil {
		t.Fatal(err)
	}
	return func(dir string) {
		t.Helper()
		for _, name := range []string{"tarpond", "lbctl"} {
			// Not copied: a child forked in between would hold the file open for writing.
			path := filepath.Join(dir, name)
			if err := errors.Join(os.Link(filepath.Join(made, name), path+".new"), os.Rename(path+".new", path)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", data, 0o755), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func program(t *testing.T, pid int) string {
	t.Helper()
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// intrude tries to take the pins' lock until it is asked how often it tried.
func intrude(t *testing.T, path string) func() int {
	directory, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return repeat(t, func(context.Context) {
		if unix.Flock(int(directory.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			t.Error("the pins were free")
			_ = unix.Flock(int(directory.Fd()), unix.LOCK_UN)
		}
		time.Sleep(100 * time.Microsecond)
	})
}

// ask asks for the status until it is asked how often; every answer must come.
func ask(t *testing.T, l *lab.Lab) func() int {
	return repeat(t, func(ctx context.Context) {
		out, err := exec.CommandContext(ctx, filepath.Join(bin, "lbctl"), "--socket", filepath.Join(l.Dir, "run/tarpond.sock"), "vips").CombinedOutput()
		if err != nil && ctx.Err() == nil {
			t.Errorf("lbctl vips: %v: %s", err, out)
		}
	})
}

// change changes a vip until it is asked how often; every change must be made, or
// refused by somebody who says why.
func change(t *testing.T, l *lab.Lab, vip netip.AddrPort) func() int {
	client := api.NewClient(filepath.Join(l.Dir, "run/tarpond.sock"))
	weight := 1
	return repeat(t, func(ctx context.Context) {
		weight = weight%3 + 1
		_, err := client.EditReal(ctx, vip.String(), l.Real4(1)+":7", api.RealSettings{Weight: &weight}, api.Options{})
		if refused := (*api.Error)(nil); err != nil && ctx.Err() == nil && !errors.As(err, &refused) {
			t.Errorf("a change: %v", err)
		}
	})
}

// repeat calls f until the result is called, which says how often.
func repeat(t *testing.T, f func(context.Context)) func() int {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var n atomic.Int64
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			f(ctx)
			n.Add(1)
		}
	}()
	end := func() int {
		cancel()
		<-done
		return int(n.Load())
	}
	t.Cleanup(func() { end() })
	return end
}
