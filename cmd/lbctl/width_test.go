package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
)

// The longest that there can be.
var (
	longAddress  = strings.Repeat("ffff:", 7) + "fffe"
	longEndpoint = "[" + longAddress + "]:65535"
	longName     = strings.Repeat("n", 63)
	longAuthor   = "4294967295 " + strings.Repeat("u", 32)
	longText     = strings.Repeat("something long, ", 20) + longEndpoint + " " + longEndpoint
	longTime     = time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)
	longAgo      = time.Now().Add(-20000 * time.Hour)
)

const longCount = math.MaxUint64

func longVips() []api.Vip {
	decision := func(state string) api.Decision {
		return api.Decision{
			Vip: longEndpoint + "/udp", Real: longEndpoint, State: state, Author: longAuthor, Since: longTime,
			Deadline: time.Now().Add(time.Hour), FlowsLeft: 67108864,
		}
	}
	real := api.Real{
		Real: longEndpoint, Name: longName, Weight: 65535, Checked: true, Active: 67108864, Inactive: 67108864,
		Traffic: api.Traffic{Connections: longCount, PacketsIn: longCount, PacketsOut: longCount, BytesIn: longCount, BytesOut: longCount},
	}
	v := api.Vip{Vip: longEndpoint + "/udp", Name: longName, Scheduler: "wrr", Decisions: []api.Decision{decision("disabled")}}
	for _, state := range []string{"up", "down", "disabled", "unchecked"} {
		for _, decided := range [][]api.Decision{nil, {decision("drained")}, {decision("disabled"), decision("drained")}} {
			for _, failure := range []string{"", longText} {
				real.State, real.Decisions, real.Error = state, decided, failure
				v.Reals = append(v.Reals, real)
			}
		}
	}
	short := api.Vip{Vip: "192.0.2.100:80/tcp", Name: "shop", Enabled: true, Scheduler: "mh"}
	for _, r := range v.Reals {
		r.Real = "10.0.0.11:8080"
		short.Reals = append(short.Reals, r)
	}
	return []api.Vip{v, short}
}

func longStatus() api.Status {
	table := api.Table{Flows: 67108864, Max: 67108864, Slots: 134217728}
	s := api.Status{
		Version: "123.456.789-123-gabcdef0123", Revision: math.MaxInt32, Router: longName, Role: "standby", Problems: []string{longText},
		Vips: 65535, Reals: 65535, RealsUp: 65535, Started: longAgo,
		Flows: api.Capacity{IPv4: table, IPv6: table, Bytes: math.MaxInt32, Moved: longCount, Evicted: longCount, Full: longCount},
		Legs: []api.Leg{
			{Name: longName, Interface: "enp129s0f1np1.4", Role: "outside", Mode: "generic", Reason: longText},
			{Name: "lan", Interface: "enp129s0f1np1.4", Role: "inside", Mode: "generic", Reason: longText},
		},
	}
	for _, v := range longVips() {
		for _, r := range v.Reals {
			s.Decisions = append(s.Decisions, r.Decisions...)
		}
	}
	return s
}

func longPair() api.Pair {
	p := aPair(time.Now())
	router := api.PairRouter{
		Name: longName, Role: "standby", Since: longAgo, Why: longText, Priority: 1, Configured: 254,
		Failing: []string{longText}, Fault: longText, Told: longAgo,
	}
	p.Own, p.Peer, p.WhyNot, p.Problems = router, router, longText, []string{longText}
	p.Peer.Name = longName[1:] + "m"
	p.Hold = &api.Hold{Author: longAuthor, Since: longTime}
	p.InSync.Sent, p.InSync.Taken, p.InSync.Flows, p.InSync.ComparedAt = longCount, longCount, 134217728, longAgo
	p.InSync.Repaired, p.InSync.Disputed, p.InSync.Lost, p.InSync.Aside = longCount, longCount, longCount, 65535
	p.InSync.Lag, p.InSync.Oldest, p.InSync.Since = 12345.678, 12345.678, longAgo
	for _, leg := range []string{"hb", longName} {
		p.Heartbeats = append(p.Heartbeats, api.Heartbeat{Leg: leg, Peer: longAddress, Heard: longAgo, Since: longAgo, Up: true, Carries: true, Error: longText, Checksum: "pseudo-header"})
	}
	p.Adverts = api.Adverts{Sent: longCount, Late: longCount, Unsent: longCount, Received: longCount, Ignored: longCount, Unproven: longCount, PseudoHeader: longCount}
	p.Agreement.Error, p.Agreement.Remedy = longText, longText
	p.Transition = &api.Transition{Role: "standby", Time: longTime, Why: longText, Silent: []string{longText}}
	p.OtherVRIDs = []api.OtherVRID{{VRID: 255, Interface: "enp129s0f1np1.4", From: longAddress, Heard: longAgo}}
	p.Services = []api.Service{{Name: longName, State: "running", Critical: true, Failures: 1001, Restarts: 1000, Error: longText}}
	p.HealthDifferences = []api.HealthDifference{{Vip: longEndpoint + "/udp", Real: longEndpoint, Up: longName, Down: longName, Error: longText}}
	return p
}

func longStats() api.Stats {
	d := api.Device{
		Interface: "enp129s0f1np1.4", RxPackets: longCount, TxPackets: longCount, RxDropped: longCount, TxDropped: longCount,
		RxErrors: longCount, TxErrors: longCount,
	}
	counts := []api.Count{{Name: strings.Repeat("r", 24), Packets: longCount}}
	return api.Stats{XDP: counts, TC: counts, Devices: []api.Device{d}, Zero: &api.Zero{Time: longTime, Author: longAuthor}}
}

// What people read fits 80 columns, and every address is in it as a whole.
func TestWidth(t *testing.T) {
	flow := api.Flow{Protocol: "udp", Client: longEndpoint, Vip: longEndpoint, Real: longEndpoint, State: "established", Idle: 86400}
	narrow := api.Flow{Protocol: "tcp", Client: "255.255.255.255:65535", Vip: "255.255.255.255:65535", Real: "255.255.255.255:65535", State: "established", Idle: 86400}
	result := api.Result{Changed: true, Flows: math.MaxInt64, FlowsTouched: math.MaxInt64, Changes: []api.Change{{Text: longText, FlowsTouched: math.MaxInt64}}}
	foreign := longPair()
	foreign.Foreign, foreign.Peer.Told = true, time.Time{}
	refused := &api.Error{
		Message: "/etc/tarpon/tarpon.yaml: 1 error, nothing was changed\n\n100:10 " + longText + "\n        ^ here",
	}
	var failure bytes.Buffer
	report(&failure, refused, false)
	for name, text := range map[string]string{
		"vips":             vipTable(longVips()),
		"vips --stats":     trafficTable(longVips(), false),
		"vips --rate":      trafficTable(longVips(), true),
		"flows":            flowHeader + flowLine(flow) + flowLine(narrow),
		"status":           statusText(longStatus()),
		"stats":            statsText(longStats(), true),
		"doctor":           findingsText([]api.Finding{{Severity: api.SeverityWarning, Kind: "x", Where: longEndpoint, What: longText, Remedy: longText}}),
		"explain":          explanationText(api.Explanation{Steps: []api.Step{{Name: "schedule", Text: longText}}}),
		"pair status":      pairText(longPair(), time.Now()),
		"of a foreign one": pairText(foreign, time.Now()),
		"history":          historyTable([]api.Revision{{Revision: math.MaxInt32, SHA256: "0123456789", Author: longAuthor, Router: longName, Time: longTime, What: longText, ConfirmBy: longTime}}),
		"plan":             planText(result),
		"a message":        fit("vip " + longEndpoint + "/udp: real " + longEndpoint + " drained\n" + longText),
		"a refusal":        failure.String(),
		"events":           brokenEvent(eventLine(api.Event{Time: longTime, Message: longText, Fields: map[string]string{"real": longEndpoint, "error": longText}})),
	} {
		t.Run(name, func(t *testing.T) {
			for line := range strings.Lines(text) {
				if line = strings.TrimSuffix(line, "\n"); len(line) > columns {
					t.Errorf("%d columns: %s", len(line), line)
				} else if strings.TrimRight(line, " ") != line {
					t.Errorf("spaces at the end: %q", line)
				}
			}
			if strings.Contains(text, "ffff:") != strings.Contains(text, longAddress) || strings.Contains(text, "...") {
				t.Errorf("it is cut off:\n%s", text)
			}
		})
	}
}

// What is quoted, with a mark below, stays as it is.
func TestFit(t *testing.T) {
	quoted := "       - vip: " + strings.Repeat("x", 80) + "\n         ^ write something else"
	for message, want := range map[string]string{
		"":         "",
		"done":     "done\n",
		"one\ntwo": "one\ntwo\n",
		quoted:     quoted + "\n",
		"12:3   " + strings.Repeat("word ", 17) + "end": "12:3   " + strings.TrimSpace(strings.Repeat("word ", 14)) + "\n       word word word end\n",
		strings.Repeat("word ", 17) + "end":             strings.TrimSpace(strings.Repeat("word ", 16)) + "\n  word end\n",
	} {
		if got := fit(message); got != want {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
	}
}

// JSON is for programs, and has no columns.
func TestJSONIsNotBroken(t *testing.T) {
	var failure bytes.Buffer
	report(&failure, &api.Error{Message: longText}, true)
	told := api.Error{}
	if err := json.Unmarshal(failure.Bytes(), &told); err != nil || told.Message != longText {
		t.Error(err, fmt.Sprintf("%q", told.Message))
	}
}
