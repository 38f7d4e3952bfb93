package api

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSinceZero(t *testing.T) {
	then, now := time.Unix(100, 0), time.Unix(200, 0)
	s := Stats{
		Time: now,
		XDP:  []Count{{"new", 7}, {"hit", 12}, {"began anew", 3}}, TC: []Count{{"hit", 5}},
		Devices: []Device{{Interface: "lan", RxPackets: 9, TxErrors: 1}, {Interface: "wan", RxPackets: 11, RxBytes: 500, TxDropped: 4}},
	}
	if diff := cmp.Diff(s, s.SinceZero()); diff != "" {
		t.Errorf("nobody set it to 0: %s", diff)
	}
	s.Zero = &Zero{
		Time: then, Author: "0 root",
		XDP: []Count{{"hit", 10}, {"gone", 99}, {"began anew", 4}}, TC: []Count{{"hit", 5}},
		Devices: []Device{{Interface: "wan", RxPackets: 1, RxBytes: 400, TxDropped: 5}},
	}
	kept := *s.Zero
	want := Stats{
		Time: now, Zero: &Zero{Time: then, Author: "0 root"},
		XDP: []Count{{"new", 7}, {"hit", 2}, {"began anew", 3}}, TC: []Count{{"hit", 0}},
		Devices: []Device{{Interface: "lan", RxPackets: 9, TxErrors: 1}, {Interface: "wan", RxPackets: 10, RxBytes: 100, TxDropped: 4}},
	}
	if diff := cmp.Diff(want, s.SinceZero()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&kept, s.Zero); diff != "" || s.XDP[1].Packets != 12 || s.Devices[1].RxPackets != 11 {
		t.Errorf("what it was taken from has changed: %+v %s", s, diff)
	}
}

func TestTrafficSince(t *testing.T) {
	got := Traffic{10, 20, 30, 40, 50}.Since(Traffic{1, 2, 3, 4, 51})
	if want := (Traffic{9, 18, 27, 36, 50}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
