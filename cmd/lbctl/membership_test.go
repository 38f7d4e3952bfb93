package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
)

// What init makes of a router's configuration.
func TestPairInit(t *testing.T) {
	const mine = "legs: # mine\n  wan: {role: both, interface: eth0}\nfloating:\n  - {address: 10.0.0.254/24, leg: wan}\n"
	pin := "sha256:" + strings.Repeat("a", 64)
	other, third := "sha256:"+strings.Repeat("b", 64), "sha256:"+strings.Repeat("c", 64)
	args := "pair init --vrid 77 --leg hb=eth2 lb1 wan=10.0.0.1,2001:db8::1 hb=172.31.0.1 key=" + pin +
		" lb2 wan=10.0.0.2,2001:db8::2 hb=172.31.0.2 interface.wan=ens1 priority=90 key=" + other + " key=" + third
	r := &router{export: mine, status: api.Status{Revision: 7}}
	code, stdout, stderr := r.lbctl(t, strings.Fields(args)...)
	want := `apply legs: # mine
  wan: {role: both, interface: eth0}
  hb: {role: pair, interface: eth2}
floating:
  - {address: 10.0.0.254/24, leg: wan}
routers:
  - name: lb1
    addresses: {wan: [10.0.0.1, "2001:db8::1"], hb: 172.31.0.1}
    priority: 150
    key: [` + pin + `]
  - name: lb2
    addresses: {wan: [10.0.0.2, "2001:db8::2"], hb: 172.31.0.2}
    interfaces: {wan: ens1}
    priority: 90
    key: [` + other + `, ` + third + `]
pair: {vrid: 77}
 {"ifRevision":7,"file":"the configuration with the pair"}`
	if diff := cmp.Diff([]string{want}, r.changes); diff != "" || code != 0 || stderr != "" {
		t.Errorf("exit code %d, %s: %s", code, stderr, diff)
	}
	if !strings.HasPrefix(stdout, "revision 8: done\nnow on the second router: lbctl pair join") {
		t.Error(stdout)
	}
	r.export = mine + "nonsense: 1\n"
	if code, _, stderr = r.lbctl(t, strings.Fields(args)...); code != exitRefused || !strings.Contains(stderr, "nonsense: unknown key") {
		t.Errorf("of a broken file: exit code %d, %s", code, stderr)
	}
}

func TestHistoryOfAPair(t *testing.T) {
	got := historyTable([]api.Revision{
		{Revision: 1, SHA256: "a1b2c3d4", Author: "file", What: "found in the file at a start"},
		{Revision: 2, SHA256: "0f1e2d3c", Author: "0 root", Router: "lb2", Time: time.Time{}, What: "vip shop added, with 2 reals"},
	})
	want := `Rev   SHA256 Time             Router   Author     What
1     a1b2c3 0001-01-01 00:00 -        file       found in the file at a start
2     0f1e2d 0001-01-01 00:00 lb2      0 root     vip shop added, with 2 reals
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
