package operational

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/disk"
	"golang.org/x/sys/unix"
)

func target(t *testing.T, vip, real string) (to Target) {
	t.Helper()
	var err error
	if to.Vip, err = config.ParseVip(vip); err != nil {
		t.Fatal(err)
	}
	if real != "" {
		if to.Real, err = config.ParseReal(real, to.Vip.Port()); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	s, err := Open(disk.Disk{}, path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Round(0)
	want := map[Target]Decision{
		target(t, "192.0.2.1:80/tcp", "10.0.0.11:8080"):          {Drained, "0 root", now, now.Add(time.Minute)},
		target(t, "[2001:db8::1]:0/udp", "2001:db8:1::11"):       {Drained, "0 root", now, time.Time{}},
		target(t, "[2001:db8::1]:53/udp", "[2001:db8:1::11]:53"): {Disabled, "1000 ann", now, time.Time{}},
		target(t, "192.0.2.1:80/tcp", ""):                        {Disabled, "0 root", now, time.Time{}},
	}
	for to, d := range want {
		if err := s.Set(to, d); err != nil {
			t.Fatal(err)
		}
	}
	check := func(t *testing.T) {
		t.Helper()
		again, err := Open(disk.Disk{}, path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, maps.Collect(again.All), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Error(diff)
		}
		if again.counter != s.counter {
			t.Errorf("the counter is %d, was %d", again.counter, s.counter)
		}
	}
	t.Run("survives", check)

	real := target(t, "192.0.2.1:80/tcp", "10.0.0.11:8080")
	t.Run("both kinds", func(t *testing.T) {
		if err := errors.Join(s.Set(real, Decision{Kind: Disabled}), s.Clear(real, Disabled)); err != nil {
			t.Fatal(err)
		}
		check(t)
	})
	t.Run("a full disk changes nothing", func(t *testing.T) {
		s.disk.Fault = func(string, string) error { return unix.ENOSPC }
		before := s.counter
		if err := s.Clear(real, Drained); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("it says %v", err)
		}
		if err := s.Clear(real, Disabled); err != nil {
			t.Errorf("what changes nothing needs no disk: %v", err)
		}
		s.disk.Fault = nil
		if _, ok := s.Find(real, Drained); !ok || s.counter != before {
			t.Error("the decision is gone, and the file has it")
		}
		check(t)
	})
	t.Run("what is gone is forgotten", func(t *testing.T) {
		if err := s.Keep(func(to Target) bool { return to != real }); err != nil {
			t.Fatal(err)
		}
		delete(want, real)
		check(t)
	})
	t.Run("damaged", func(t *testing.T) {
		if err := os.WriteFile(path, []byte(`{"decisions": [{"vip": "x"}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(disk.Disk{}, path)
		if err == nil {
			t.Error("no error")
		}
		if err := s.Set(real, Decision{Kind: Drained}); err != nil {
			t.Error(err)
		}
	})
}

func TestOver(t *testing.T) {
	now := time.Now()
	for want, d := range map[bool]Decision{true: {Deadline: now}, false: {}} {
		if d.Over(now) != want {
			t.Errorf("%+v at its deadline: %v", d, !want)
		}
	}
	if (Decision{Deadline: now.Add(1)}).Over(now) {
		t.Error("over before its deadline")
	}
}
