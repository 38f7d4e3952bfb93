package metrics

import "github.com/prometheus/client_golang/prometheus"

// A family is one metric with all its labels' values.
type family struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	desc       *prometheus.Desc
}

// families are all, in the order of docs/metrics.md.
var families []*family

func define(kind prometheus.ValueType, name, help string, labels ...string) *family {
	f := &family{name, help, kind, labels, prometheus.NewDesc(name, help, labels, nil)}
	families = append(families, f)
	return f
}

func counter(name, help string, labels ...string) *family {
	return define(prometheus.CounterValue, name, help, labels...)
}

func gauge(name, help string, labels ...string) *family {
	return define(prometheus.GaugeValue, name, help, labels...)
}

// The labels' values come from the configuration and from the program, never from
// packets: vip and real are as `lbctl vips` writes them.
var (
	buildInfo = gauge("tarpon_build_info", "1, with tarpond's version and the Go that built it.", "version", "goversion")
	problems  = gauge("tarpon_problems", "Problems that lbctl status lists.")
	revision  = gauge("tarpon_config_revision", "Number of the configuration that runs.")
	edited    = gauge("tarpon_config_edited", "1 if the configuration file is not what runs: it was edited by hand, or is broken or gone.")

	vipInfo    = gauge("tarpon_vip_info", "1 for every vip, disabled ones too, with its settings.", "vip", "name", "leg", "scheduler")
	vipUsable  = gauge("tarpon_vip_usable_reals", "Reals of an enabled vip that new flows may go to.", "vip")
	realUp     = gauge("tarpon_real_up", "1 if an enabled real is up, by its check or because it has none.", "vip", "real")
	realWeight = gauge("tarpon_real_weight", "Weight of a real for new flows; 0 also while it is drained or disabled.", "vip", "real")
	realFlows  = gauge("tarpon_real_flows", "Flows of a real now: established TCP, and others.", "vip", "real", "state")
	realConns  = counter("tarpon_real_connections_total", "Flows that were made to a real.", "vip", "real")
	realPacket = counter("tarpon_real_packets_total", "Packets of a real's flows, in from clients and out to them.", "vip", "real", "direction")
	realBytes  = counter("tarpon_real_bytes_total", "Bytes of these packets, IP headers included.", "vip", "real", "direction")
	checksDone = counter("tarpon_health_checks_total", "Probes of reals that ended.")
	checksBad  = counter("tarpon_health_checks_failed_total", "Probes of reals that failed.")

	packets    = counter("tarpon_packets_total", "Packets by what became of them (lbctl stats), at the XDP and the TC hook. One that XDP hands over is to_tc there, and counts again at TC.", "hook", "reason")
	flowEvents = counter("tarpon_flow_table_events_total", "What packets did with the flow tables, at the XDP and the TC hook.", "hook", "reason")
	tableFlows = gauge("tarpon_flow_table_flows", "Flows in a table, as of the last sweep (every 10 s).", "family")
	tableMax   = gauge("tarpon_flow_table_max_flows", "Flows that a table is made for: flows.max_ipv4 and max_ipv6.", "family")
	tableSlots = gauge("tarpon_flow_table_slots", "Slots of a table.", "family")

	legInfo  = gauge("tarpon_leg_info", "1 for every leg, with its mode as configured and as it is; none: no program is attached.", "leg", "interface", "role", "configured", "mode")
	legUp    = gauge("tarpon_leg_up", "1 if a leg's interface is up and has its carrier.", "leg")
	devDrops = counter("tarpon_device_dropped_packets_total", "Packets that a leg's device dropped, as ip -s link counts.", "interface", "direction")
	devFails = counter("tarpon_device_errors_total", "Packets that a leg's device had wrong, as ip -s link counts.", "interface", "direction")

	pairActive   = gauge("tarpon_pair_active", "1 if this router of a pair has the addresses; pair: both names, empty with a foreign peer. A router alone has no metrics of a pair.", "pair")
	pairInSync   = gauge("tarpon_pair_in_sync", "1 if both routers of a pair have the same flows and the same configuration.")
	pairLag      = gauge("tarpon_pair_lag_seconds", "How long the last batch of flows took from this router's table to the other's word that it has it.")
	pairConflict = gauge("tarpon_pair_conflict", "1 if the two routers run different configurations, and somebody has to decide.")
	pairDiffer   = gauge("tarpon_pair_check_differences", "Reals that one router of a pair finds up and the other one down.")
	pairPriority = gauge("tarpon_pair_priority", "Effective priority: as configured, less what fails.")
	pairLink     = gauge("tarpon_pair_link_up", "1 if the connection to the other router over a heartbeat link is up.", "leg", "family")
	pairRoles    = counter("tarpon_pair_transitions_total", "Changes of this router's role.")
	pairSent     = counter("tarpon_pair_adverts_sent_total", "Adverts sent: only an active router does.")
	pairHeard    = counter("tarpon_pair_adverts_received_total", "Adverts of the other router.")
	pairLate     = counter("tarpon_pair_adverts_late_total", "Adverts sent more than half an interval late.")
)
