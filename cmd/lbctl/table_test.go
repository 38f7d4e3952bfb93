package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
)

var someVips = []api.Vip{
	{Vip: "192.0.2.1:80/tcp", Name: "shop", Enabled: true, Scheduler: "mh", Reals: []api.Real{
		{Real: "10.0.0.11:8080", Weight: 1, State: "up", Checked: true, Active: 12, Inactive: 3,
			Traffic: api.Traffic{Connections: 15, PacketsIn: 1234567, PacketsOut: 12345678, BytesIn: 12345678901, BytesOut: 12345678901234}},
		{Real: "10.0.0.12:8080", Weight: 0, State: "up", Checked: true},
		{Real: "10.0.0.13:8080", Weight: 2, State: "down", Checked: true, Error: "connection refused",
			Traffic: api.Traffic{Connections: 1, PacketsIn: 3, PacketsOut: 2, BytesIn: 180, BytesOut: 120}},
		{Real: "10.0.0.14:8080", Weight: 2, State: "up"},
		{Real: "10.0.0.15:8080", Weight: 65535, State: "disabled"},
	}},
	{Vip: "[2001:db8::1]:0/udp", Enabled: false, Scheduler: "wrr", Reals: []api.Real{
		{Real: "2001:db8:1234:5678:9abc:def0:1234:5678", Weight: 1, State: "unchecked"},
		{Real: "2001:db8::2", Weight: 1, State: "unchecked", Active: 1, Decisions: []api.Decision{{State: "drained", FlowsLeft: 1}}},
	}},
	{Vip: "192.0.2.2:25/tcp", Enabled: true, Scheduler: "rr"},
}

// same compares a table with its lines; the first line break is not part of it.
func same(t *testing.T, want, got string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got); diff != "" {
		t.Errorf("%s\ngot:\n%s", diff, got)
	}
}

func TestVipTable(t *testing.T) {
	same(t, `
Prot LocalAddress:Port                        Scheduler
  -> RemoteAddress:Port              Weight ActiveConn InActConn  State
TCP  192.0.2.1:80                             mh  shop
  -> 10.0.0.11:8080                       1         12         3  up
  -> 10.0.0.12:8080                       0          0         0  up
     weight 0: no new flows
  -> 10.0.0.13:8080                       2          0         0  down
     connection refused
  -> 10.0.0.14:8080                       2          0         0  up
     not checked yet
  -> 10.0.0.15:8080                   65535          0         0  disabled
UDP  [2001:db8::1]:0                          wrr  disabled
  -> 2001:db8:1234:5678:9abc:def0:1234:5678
                                          1          0         0  unchecked
  -> 2001:db8::2                          1          1         0  drained
     1 flow left
TCP  192.0.2.2:25                             rr
`, vipTable(someVips))
}

func TestTrafficTable(t *testing.T) {
	same(t, `
Prot LocalAddress:Port            Conns    InPkts   OutPkts   InBytes  OutBytes
  -> RemoteAddress:Port
TCP  192.0.2.1:80                    16   1234570    12345K    12345M    12345G
  -> 10.0.0.11:8080                  15   1234567    12345K    12345M    12345G
  -> 10.0.0.12:8080                   0         0         0         0         0
  -> 10.0.0.13:8080                   1         3         2       180       120
  -> 10.0.0.14:8080                   0         0         0         0         0
  -> 10.0.0.15:8080                   0         0         0         0         0
UDP  [2001:db8::1]:0                  0         0         0         0         0
  -> 2001:db8:1234:5678:9abc:def0:1234:5678
                                      0         0         0         0         0
  -> 2001:db8::2                      0         0         0         0         0
TCP  192.0.2.2:25                     0         0         0         0         0
`, trafficTable(someVips, false))
	rates := strings.SplitAfter(trafficTable(someVips, true), "\n")
	same(t, `
Prot LocalAddress:Port              CPS     InPPS    OutPPS     InBPS    OutBPS
`, rates[0])
}

func TestShort(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 9999999: "9999999", 10000000: "10000K", 9999999999: "9999999K", 1e10: "10000M", 1e13: "10000G", 1e16: "10000T", 1<<64 - 1: "18446P",
	} {
		if got := short(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestFlowTable(t *testing.T) {
	same(t, `
Prot State         Idle Client                Vip               Real
TCP  established     3s 198.51.100.7:40000    192.0.2.1:80      10.0.0.11:8080
UDP  unreplied       0s [2001:db8::7]:5353    [2001:db8::1]:53  [2001:db8::1]:53
UDP  replied        12s [2001:db8::7]:5353
                        [2001:db8::1]:53
                        [2001:db8::11]:53
`, flowHeader+
		flowLine(api.Flow{Protocol: "tcp", Client: "198.51.100.7:40000", Vip: "192.0.2.1:80", Real: "10.0.0.11:8080", State: "established", Idle: 3})+
		flowLine(api.Flow{Protocol: "udp", Client: "[2001:db8::7]:5353", Vip: "[2001:db8::1]:53", Real: "[2001:db8::1]:53", State: "unreplied"})+
		flowLine(api.Flow{Protocol: "udp", Client: "[2001:db8::7]:5353", Vip: "[2001:db8::1]:53", Real: "[2001:db8::11]:53", State: "replied", Idle: 12}))
}

func TestStatusText(t *testing.T) {
	s := api.Status{
		Version: "1.2", Revision: 41, Started: time.Now().Add(-90*time.Minute + 400*time.Millisecond), Vips: 3, Reals: 6, RealsUp: 4,
		Problems: []string{"leg dmz (eth2) is down", "vip 192.0.2.2:25/tcp has no usable real"},
		Legs: []api.Leg{
			{Name: "wan", Interface: "eth0", Role: "outside", Mode: "native", Up: true},
			{Name: "lan", Interface: "eth1.5", Role: "inside", Mode: "tc", Reason: "a VLAN: the driver's frames are its parent's", Up: true},
			{Name: "dmz", Interface: "eth2", Role: "both"},
			{Name: "net", Interface: "eth3", Role: "both", Mode: "tc", Reason: "the configuration says so"},
		},
		Flows: api.Capacity{
			IPv4: api.Table{Flows: 1000000, Max: 1048576, Slots: 2097152}, IPv6: api.Table{Max: 262144, Slots: 524288},
			Bytes: 48 << 20, Moved: 3, Evicted: 2, Full: 1,
		},
	}
	same(t, `
PROBLEM: leg dmz (eth2) is down
PROBLEM: vip 192.0.2.2:25/tcp has no usable real
tarpond 1.2, up 1h30m0s, revision 41
3 vips, 6 reals, 4 of them usable

Leg        Interface       Role     Mode
wan        eth0            outside  native
lan        eth1.5          inside   tc       a VLAN: the driver's frames are its
                                             parent's
dmz        eth2            both     -        link down
net        eth3            both     tc       the configuration says so; link
                                             down

Flows             now    maximum      slots
IPv4          1000000    1048576    2097152
IPv6                0     262144     524288
48 MiB; 3 moved, 2 evicted, 1 found no slot
`, statusText(s))
	s.Problems = nil
	if text := statusText(s); !strings.HasPrefix(text, "all is well\ntarpond 1.2") {
		t.Errorf("without problems:\n%s", text)
	}
}

func TestStatsText(t *testing.T) {
	s := api.Stats{
		XDP:     []api.Count{{Name: "flow_hit", Packets: 12345678901234}, {Name: "drop_martian"}, {Name: "flow_new", Packets: 0}},
		TC:      []api.Count{{Name: "flow_hit", Packets: 5}, {Name: "drop_martian"}, {Name: "flow_new", Packets: 7}},
		Devices: []api.Device{{Interface: "eth0", RxPackets: 1, TxPackets: 2, RxBytes: 9, TxBytes: 9, RxDropped: 3, TxDropped: 4, RxErrors: 5, TxErrors: 6}},
	}
	const devices = `
Device             RxPackets    TxPackets    RxDrop    TxDrop    RxErr    TxErr
eth0                       1            2         3         4        5        6
`
	same(t, `
Reason                                XDP               TC
flow_hit                   12345678901234                5
flow_new                                0                7
`+devices, statsText(s, false))
	same(t, `
Reason                                XDP               TC
flow_hit                   12345678901234                5
drop_martian                            0                0
flow_new                                0                7
`+devices, statsText(s, true))
}
