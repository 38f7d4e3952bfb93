package metrics

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/tarpon-lb/tarpon/control/api"
)

// A router answers what it is told to.
type router struct {
	status api.Status
	vips   []api.Vip
	stats  api.Stats
	pair   api.Pair
	err    error
}

func (r *router) Status(context.Context) (api.Status, error) { return r.status, r.err }
func (r *router) Vips(context.Context) ([]api.Vip, error)    { return r.vips, nil }
func (r *router) Stats(context.Context) (api.Stats, error)   { return r.stats, nil }
func (r *router) Pair(context.Context) (api.Pair, error)     { return r.pair, nil }

// shop is a router with one of everything.
func shop() *router {
	return &router{
		status: api.Status{
			Version: "1.0", Revision: 43, FileEdited: true, Problems: []string{"a", "b"},
			Flows:  api.Capacity{IPv4: api.Table{Flows: 5, Max: 60, Slots: 128}, IPv6: api.Table{Max: 30, Slots: 64}},
			Checks: api.Checks{Done: 12, Failed: 2},
			Legs: []api.Leg{
				{Name: "wan", Interface: "eth0", Role: "outside", Configured: "auto", Mode: "native", Up: true},
				{Name: "lan", Interface: "eth1", Role: "inside", Configured: "native"},
			},
		},
		vips: []api.Vip{
			{Vip: "192.0.2.1:80/tcp", Name: "shop", Enabled: true, Leg: "wan", Scheduler: "mh", Reals: []api.Real{
				{Real: "10.0.0.1:80", Weight: 2, State: "up", Active: 3, Inactive: 1,
					Traffic: api.Traffic{Connections: 7, PacketsIn: 70, PacketsOut: 60, BytesIn: 7000, BytesOut: 1 << 40}, Zero: api.Traffic{Connections: 6}},
				{Real: "10.0.0.2:80", Weight: 1, State: "unchecked", Decisions: []api.Decision{{State: "drained"}}},
				{Real: "10.0.0.3:80", Weight: 1, State: "down", Error: "connection refused"},
				{Real: "10.0.0.4:80", Weight: 1, State: "disabled"},
				{Real: "10.0.0.5:80", Weight: 0, State: "up"},
			}},
			{Vip: "[2001:db8::1]:53/udp", Leg: "none", Scheduler: "rr", Reals: []api.Real{{Real: "[2001:db8::2]:53", State: "disabled", Weight: 1}}},
		},
		stats: api.Stats{
			XDP:     []api.Count{{Name: "forward_in", Packets: 70}, {Name: "to_tc", Packets: 1}, {Name: "flow_hit", Packets: 63}},
			TC:      []api.Count{{Name: "forward_in", Packets: 1}, {Name: "to_tc"}, {Name: "flow_hit"}},
			Devices: []api.Device{{Interface: "eth0", RxDropped: 3, TxErrors: 4}},
			// Somebody set lbctl's counters to 0: these go on.
			Zero: &api.Zero{XDP: []api.Count{{Name: "flow_hit", Packets: 60}}, Devices: []api.Device{{Interface: "eth0", RxDropped: 2}}},
		},
		pair: api.Pair{
			Paired: true, Own: api.PairRouter{Name: "lb2", Role: "active", Priority: 120}, Peer: api.PairRouter{Name: "lb1"}, InSync: api.InSync{Yes: true, Lag: 0.25},
			Adverts:           api.Adverts{Sent: 50, Received: 40, Late: 2, Transitions: 3},
			Agreement:         api.Agreement{State: "conflict"},
			HealthDifferences: []api.HealthDifference{{Real: "10.0.0.11:80"}},
			Heartbeats:        []api.Heartbeat{{Leg: "hb", Peer: "172.31.0.2", Up: true}, {Leg: "hb", Peer: "fe80::2"}},
		},
	}
}

const scrape = `
# HELP tarpon_config_edited 1 if the configuration file is not what runs: it was edited by hand, or is broken or gone.
# TYPE tarpon_config_edited gauge
tarpon_config_edited 1
# HELP tarpon_config_revision Number of the configuration that runs.
# TYPE tarpon_config_revision gauge
tarpon_config_revision 43
# HELP tarpon_device_dropped_packets_total Packets that a leg's device dropped, as ip -s link counts.
# TYPE tarpon_device_dropped_packets_total counter
tarpon_device_dropped_packets_total{direction="receive",interface="eth0"} 3
tarpon_device_dropped_packets_total{direction="transmit",interface="eth0"} 0
# HELP tarpon_device_errors_total Packets that a leg's device had wrong, as ip -s link counts.
# TYPE tarpon_device_errors_total counter
tarpon_device_errors_total{direction="receive",interface="eth0"} 0
tarpon_device_errors_total{direction="transmit",interface="eth0"} 4
# HELP tarpon_flow_table_events_total What packets did with the flow tables, at the XDP and the TC hook.
# TYPE tarpon_flow_table_events_total counter
tarpon_flow_table_events_total{hook="tc",reason="flow_hit"} 0
tarpon_flow_table_events_total{hook="xdp",reason="flow_hit"} 63
# HELP tarpon_flow_table_flows Flows in a table, as of the last sweep (every 10 s).
# TYPE tarpon_flow_table_flows gauge
tarpon_flow_table_flows{family="ipv4"} 5
tarpon_flow_table_flows{family="ipv6"} 0
# HELP tarpon_flow_table_max_flows Flows that a table is made for: flows.max_ipv4 and max_ipv6.
# TYPE tarpon_flow_table_max_flows gauge
tarpon_flow_table_max_flows{family="ipv4"} 60
tarpon_flow_table_max_flows{family="ipv6"} 30
# HELP tarpon_flow_table_slots Slots of a table.
# TYPE tarpon_flow_table_slots gauge
tarpon_flow_table_slots{family="ipv4"} 128
tarpon_flow_table_slots{family="ipv6"} 64
# HELP tarpon_health_checks_failed_total Probes of reals that failed.
# TYPE tarpon_health_checks_failed_total counter
tarpon_health_checks_failed_total 2
# HELP tarpon_health_checks_total Probes of reals that ended.
# TYPE tarpon_health_checks_total counter
tarpon_health_checks_total 12
# HELP tarpon_leg_info 1 for every leg, with its mode as configured and as it is; none: no program is attached.
# TYPE tarpon_leg_info gauge
tarpon_leg_info{configured="auto",interface="eth0",leg="wan",mode="native",role="outside"} 1
tarpon_leg_info{configured="native",interface="eth1",leg="lan",mode="none",role="inside"} 1
# HELP tarpon_leg_up 1 if a leg's interface is up and has its carrier.
# TYPE tarpon_leg_up gauge
tarpon_leg_up{leg="lan"} 0
tarpon_leg_up{leg="wan"} 1
# HELP tarpon_packets_total Packets by what became of them (lbctl stats), at the XDP and the TC hook. One that XDP hands over is to_tc there, and counts again at TC.
# TYPE tarpon_packets_total counter
tarpon_packets_total{hook="tc",reason="forward_in"} 1
tarpon_packets_total{hook="tc",reason="to_tc"} 0
tarpon_packets_total{hook="xdp",reason="forward_in"} 70
tarpon_packets_total{hook="xdp",reason="to_tc"} 1
# HELP tarpon_pair_active 1 if this router of a pair has the addresses; pair: both names, empty with a foreign peer. A router alone has no metrics of a pair.
# TYPE tarpon_pair_active gauge
tarpon_pair_active{pair="lb1, lb2"} 1
# HELP tarpon_pair_adverts_late_total Adverts sent more than half an interval late.
# TYPE tarpon_pair_adverts_late_total counter
tarpon_pair_adverts_late_total 2
# HELP tarpon_pair_adverts_received_total Adverts of the other router.
# TYPE tarpon_pair_adverts_received_total counter
tarpon_pair_adverts_received_total 40
# HELP tarpon_pair_adverts_sent_total Adverts sent: only an active router does.
# TYPE tarpon_pair_adverts_sent_total counter
tarpon_pair_adverts_sent_total 50
# HELP tarpon_pair_check_differences Reals that one router of a pair finds up and the other one down.
# TYPE tarpon_pair_check_differences gauge
tarpon_pair_check_differences 1
# HELP tarpon_pair_conflict 1 if the two routers run different configurations, and somebody has to decide.
# TYPE tarpon_pair_conflict gauge
tarpon_pair_conflict 1
# HELP tarpon_pair_in_sync 1 if both routers of a pair have the same flows and the same configuration.
# TYPE tarpon_pair_in_sync gauge
tarpon_pair_in_sync 1
# HELP tarpon_pair_lag_seconds How long the last batch of flows took from this router's table to the other's word that it has it.
# TYPE tarpon_pair_lag_seconds gauge
tarpon_pair_lag_seconds 0.25
# HELP tarpon_pair_link_up 1 if the connection to the other router over a heartbeat link is up.
# TYPE tarpon_pair_link_up gauge
tarpon_pair_link_up{family="ipv4",leg="hb"} 1
tarpon_pair_link_up{family="ipv6",leg="hb"} 0
# HELP tarpon_pair_priority Effective priority: as configured, less what fails.
# TYPE tarpon_pair_priority gauge
tarpon_pair_priority 120
# HELP tarpon_pair_transitions_total Changes of this router's role.
# TYPE tarpon_pair_transitions_total counter
tarpon_pair_transitions_total 3
# HELP tarpon_problems Problems that lbctl status lists.
# TYPE tarpon_problems gauge
tarpon_problems 2
# HELP tarpon_real_up 1 if an enabled real is up, by its check or because it has none.
# TYPE tarpon_real_up gauge
tarpon_real_up{real="10.0.0.1:80",vip="192.0.2.1:80/tcp"} 1
tarpon_real_up{real="10.0.0.2:80",vip="192.0.2.1:80/tcp"} 1
tarpon_real_up{real="10.0.0.3:80",vip="192.0.2.1:80/tcp"} 0
tarpon_real_up{real="10.0.0.5:80",vip="192.0.2.1:80/tcp"} 1
# HELP tarpon_real_weight Weight of a real for new flows; 0 also while it is drained or disabled.
# TYPE tarpon_real_weight gauge
tarpon_real_weight{real="10.0.0.1:80",vip="192.0.2.1:80/tcp"} 2
tarpon_real_weight{real="10.0.0.2:80",vip="192.0.2.1:80/tcp"} 0
tarpon_real_weight{real="10.0.0.3:80",vip="192.0.2.1:80/tcp"} 1
tarpon_real_weight{real="10.0.0.4:80",vip="192.0.2.1:80/tcp"} 0
tarpon_real_weight{real="10.0.0.5:80",vip="192.0.2.1:80/tcp"} 0
tarpon_real_weight{real="[2001:db8::2]:53",vip="[2001:db8::1]:53/udp"} 0
# HELP tarpon_vip_info 1 for every vip, disabled ones too, with its settings.
# TYPE tarpon_vip_info gauge
tarpon_vip_info{leg="none",name="",scheduler="rr",vip="[2001:db8::1]:53/udp"} 1
tarpon_vip_info{leg="wan",name="shop",scheduler="mh",vip="192.0.2.1:80/tcp"} 1
# HELP tarpon_vip_usable_reals Reals of an enabled vip that new flows may go to.
# TYPE tarpon_vip_usable_reals gauge
tarpon_vip_usable_reals{vip="192.0.2.1:80/tcp"} 1
`

// counted is the part of a scrape about one real.
const counted = `
tarpon_real_bytes_total{direction="in",real="10.0.0.1:80",vip="192.0.2.1:80/tcp"} 7000
tarpon_real_bytes_total{direction="out",real="10.0.0.1:80",vip="192.0.2.1:80/tcp"} 1.099511627776e+12
tarpon_real_connections_total{real="10.0.0.1:80",vip="192.0.2.1:80/tcp"} 7
tarpon_real_flows{real="10.0.0.1:80",state="established",vip="192.0.2.1:80/tcp"} 3
tarpon_real_flows{real="10.0.0.1:80",state="other",vip="192.0.2.1:80/tcp"} 1
tarpon_real_packets_total{direction="in",real="10.0.0.1:80",vip="192.0.2.1:80/tcp"} 70
tarpon_real_packets_total{direction="out",real="10.0.0.1:80",vip="192.0.2.1:80/tcp"} 60
`

// get asks for a scrape as Prometheus does.
func get(t *testing.T, r Router) (code int, text string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	newHandler(r).ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	data, err := io.ReadAll(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	return recorder.Code, string(data)
}

func TestScrape(t *testing.T) {
	r := shop()
	var names []string
	for _, line := range strings.Split(scrape, "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	if err := testutil.GatherAndCompare(newRegistry(r), strings.NewReader(scrape), names...); err != nil {
		t.Error(err)
	}
	code, text := get(t, r)
	for _, line := range append(strings.Split(strings.TrimSpace(counted), "\n"), `tarpon_build_info{goversion="go1.`) {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("there is no %s", line)
		}
	}
	if code != 200 || !strings.Contains(text, "process_start_time_seconds") || !strings.Contains(text, "go_goroutines") {
		t.Errorf("status %d, and of the process:\n%s", code, text)
	}
}

func TestNamesAreWellMade(t *testing.T) {
	problems, err := testutil.GatherAndLint(newRegistry(shop()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Labels have values from the configuration and from the program: no client, no error
// and nothing else that grows. Series grow with reals, by 9 each.
func TestCardinality(t *testing.T) {
	bounded := []string{"configured", "direction", "family", "goversion", "hook", "interface", "leg", "mode", "name", "pair",
		"real", "reason", "role", "scheduler", "state", "version", "vip"}
	for _, f := range families {
		for _, label := range f.labels {
			if !slices.Contains(bounded, label) {
				t.Errorf("%s has a label %s: what bounds its values?", f.name, label)
			}
		}
	}
	series := func(r *router) int {
		n, err := testutil.GatherAndCount(newRegistry(r), names()...)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before, more := series(shop()), shop()
	more.vips[0].Reals = append(more.vips[0].Reals, api.Real{Real: "10.0.0.9:80", State: "down", Error: "EOF"}, api.Real{Real: "10.0.0.10:80", State: "up"})
	more.vips[0].Reals[0].Traffic.Connections *= 1000
	more.status.Problems = []string{"something new"}
	if grown := series(more) - before; grown != 2*9 {
		t.Errorf("two reals more are %d series more", grown)
	}
}

func names() (list []string) {
	for _, f := range families {
		list = append(list, f.name)
	}
	return list
}

// Nothing is said of a pair that there is not, and of a foreign peer what is known.
func TestScrapeWithoutAPeer(t *testing.T) {
	r := shop()
	for pair, want := range map[*api.Pair]int{{}: 0, {Paired: true, Foreign: true}: 6} {
		r.pair = *pair
		_, text := get(t, r)
		if got := strings.Count(text, "\ntarpon_pair_"); got != want {
			t.Errorf("%+v: %d metrics of a pair, want %d", r.pair, got, want)
		}
	}
}

// Half a scrape would look like traffic that has ended.
func TestRouterThatDoesNotAnswer(t *testing.T) {
	r := shop()
	r.err = errors.New("tarpond is stopping")
	if code, text := get(t, r); code != 500 || !strings.Contains(text, "tarpond is stopping") {
		t.Errorf("status %d: %s", code, text)
	}
}
