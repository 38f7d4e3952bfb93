package control

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/loader"
	"go.uber.org/zap"
)

// What an operator set to 0 outlives the daemon, and ends with the counters.
func TestZero(t *testing.T) {
	dir := t.TempDir()
	daemon := func() *Controller {
		return &Controller{Options: Options{RunDir: dir}, events: event.NewLog(zap.NewNop())}
	}
	counted := func(hits uint64) func() (loader.Reasons, error) {
		return func() (loader.Reasons, error) {
			return loader.Reasons{XDP: []loader.Count{{Name: "flow_hit", Packets: hits}}}, nil
		}
	}
	first := daemon()
	if err := first.recallZero(counted(7)); err != nil || first.zeroView() != nil {
		t.Fatalf("at first: %v, %v", err, first.zeroView())
	}
	want := zero{
		Zero:    api.Zero{Time: time.Now().Round(0), Author: "0 root", XDP: []api.Count{{Name: "flow_hit", Packets: 7}}},
		Traffic: map[loader.BackendID]api.Traffic{1: {Connections: 3}, 2: {BytesIn: 4}, 9: {BytesOut: 5}},
	}
	if err := first.keepZero(want); err != nil {
		t.Fatal(err)
	}
	recalled := func(name string, hits uint64) *Controller {
		t.Helper()
		c := daemon()
		if err := c.recallZero(counted(hits)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, c.zero); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		return c
	}
	next := recalled("another daemon", 7)
	if diff := cmp.Diff(&want.Zero, next.zeroView()); diff != "" {
		t.Error(diff)
	}
	next.have.Backends = map[loader.BackendID]loader.Backend{1: {}, 9: {}}
	next.forgetZeroOf(map[loader.BackendID]bool{2: true, 9: true}) // 9 came back
	delete(want.Traffic, 2)
	recalled("a number was given up", 8)

	want = zero{}
	recalled("other counters", 6)
	recalled("it is forgotten for good", 8)

	if err := os.WriteFile(daemon().zeroFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := daemon().recallZero(counted(8)); err == nil {
		t.Error("a damaged file is no error")
	}
	want = zero{Zero: api.Zero{Time: time.Now().Round(0)}}
	if err := daemon().keepZero(want); err != nil {
		t.Fatal(err)
	}
	recalled("after a damaged one", 8)
	lost := daemon()
	lost.RunDir += "/none"
	if err := lost.keepZero(want); !errors.Is(err, fs.ErrNotExist) || lost.zeroView() != nil {
		t.Errorf("what cannot be kept: %v, %v", err, lost.zeroView())
	}
}
