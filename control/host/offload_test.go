package host

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A veth can have its VLAN tags taken out, and has neither LRO nor HW-GRO.
const offloadPair = "ip link add wan type veth peer name lan"

func tagsTakenOut(t *testing.T, name string) bool {
	t.Helper()
	return strings.Contains(run(t, "ethtool -k "+name), "rx-vlan-offload: on")
}

func turnOff(t *testing.T, h *Host) []string {
	t.Helper()
	off, err := h.TurnOff("wan", append(append(LRO, HWGRO...), RxVLAN...)...)
	if err != nil {
		t.Fatal(err)
	}
	return off
}

func TestTurnOff(t *testing.T) {
	h, dir := openTest(t, offloadPair)
	if diff := cmp.Diff(RxVLAN, turnOff(t, h)); diff != "" {
		t.Error("turned off:", diff)
	}
	if tagsTakenOut(t, "wan") || !tagsTakenOut(t, "lan") {
		t.Error("it is on at wan, or off at lan")
	}
	if off := turnOff(t, h); len(off) > 0 {
		t.Error("turned off again:", off)
	}
	later, err := OpenMade(dir + "/" + MadeFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h.Made().Offloads(), later.Offloads()); diff != "" || len(later.Offloads()) != 2 {
		t.Errorf("the record has %v: %s", later.Offloads(), diff)
	}
	undone, err := h.Undo()
	if err != nil || len(undone.Offloads) != 2 {
		t.Errorf("undone: %v (%v)", undone.Offloads, err)
	}
	if !tagsTakenOut(t, "wan") {
		t.Error("it is off after Undo")
	}
	if _, err := os.Stat(dir + "/" + MadeFile); !os.IsNotExist(err) {
		t.Errorf("the record is left: %v", err)
	}
}

func TestTurnOffIsRecordedFirst(t *testing.T) {
	h, dir := openTest(t, offloadPair)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := h.TurnOff("wan", RxVLAN...); err == nil {
		t.Error("turned off without a record")
	}
	if !tagsTakenOut(t, "wan") {
		t.Error("it is off")
	}
}

func TestTurnOffWhatIsOff(t *testing.T) {
	h, _ := openTest(t, offloadPair+"\nethtool -K wan rx-vlan-stag-hw-parse off")
	if diff := cmp.Diff([]string{"rx-vlan-hw-parse"}, turnOff(t, h)); diff != "" {
		t.Error(diff)
	}
	if _, err := h.Undo(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(run(t, "ethtool -k wan"), "rx-vlan-stag-hw-parse: on") {
		t.Error("what was off before is on after Undo")
	}
	if off, err := h.TurnOff("lo", "loopback"); len(off) > 0 || err != nil {
		t.Errorf("what cannot be changed was turned off: %v (%v)", off, err)
	}
	if _, err := h.TurnOff("nowhere", RxVLAN...); err == nil {
		t.Error("no error for an interface that is not there")
	}
}

func TestRestoreOffloads(t *testing.T) {
	for _, test := range []struct {
		name, between string
		keep          bool
		restored      int
		left          int // on record
	}{
		{"all", "true", false, 2, 0},
		{"kept", "true", true, 0, 2},
		{"somebody turned one on", "ethtool -K wan rxvlan on", false, 1, 0},
		{"the device is gone", "ip link del wan", false, 0, 0},
		{"another of its name", "ip link set wan name other\nip link add wan type veth peer name peer", false, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, _ := openTest(t, offloadPair)
			turnOff(t, h)
			for line := range strings.Lines(test.between) {
				run(t, line)
			}
			restored, err := h.RestoreOffloads(func(MadeOffload) bool { return test.keep })
			if err != nil {
				t.Fatal(err)
			}
			if len(restored) != test.restored || len(h.Made().Offloads()) != test.left {
				t.Errorf("restored %v, left on record %v", restored, h.Made().Offloads())
			}
		})
	}
}
