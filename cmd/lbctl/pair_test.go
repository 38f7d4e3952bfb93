package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
)

// aPair is one with which all is well, as lb1 sees it.
func aPair(now time.Time) api.Pair {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	p := api.Pair{
		Paired: true,
		Own:    api.PairRouter{Name: "lb1", Role: "active", Since: ago(3 * time.Hour), Why: "held the lease at the start", Priority: 150, Configured: 150},
		Peer:   api.PairRouter{Name: "lb2", Role: "standby", Priority: 100, Configured: 100, Told: ago(100 * time.Millisecond), Software: "1.0"},
		WhyNot: "its priority is 100 against 150", Lease: "holds",
		InSync: api.InSync{Yes: true, Since: ago(time.Hour), Flows: 1204, ComparedAt: ago(3 * time.Second), Lag: 0.0123, Sent: 99, Taken: 1},
		Heartbeats: []api.Heartbeat{
			{Leg: "hb", Own: "172.31.0.1", Peer: "172.31.0.2", Up: true, Since: ago(time.Hour), Carries: true},
			{Leg: "lan", Own: "2001:db8:2:3:4:5:6:1", Peer: "2001:db8:2:3:4:5:6:2", Heard: ago(4 * time.Hour), Priority: 100, Up: true, Since: ago(time.Hour)},
		},
		Agreement: api.Agreement{
			State: "same", Own: api.RevisionID{Revision: 43, SHA256: "a1b2c3d4"}, Peer: api.RevisionID{Revision: 43, SHA256: "a1b2c3d4"},
		},
		Transition: &api.Transition{Role: "active", Time: ago(3 * time.Hour), Why: "held the lease at the start", Took: 0.0021},
		Adverts:    api.Adverts{Sent: 54000, Received: 12},
	}
	for _, name := range []string{"linked", "copied", "equal", "prompt", "sameRevision"} {
		p.InSync.Facts = append(p.InSync.Facts, api.Fact{Name: name, Yes: true})
	}
	return p
}

// What pair status prints, in 80 columns. -update writes it anew.
func TestPairText(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	defer func() { time.Local = local }()
	now := time.Date(2026, 7, 12, 10, 11, 12, 0, time.UTC)
	for name, spoil := range map[string]func(*api.Pair){
		"well":  func(*api.Pair) {},
		"alone": func(p *api.Pair) { *p = api.Pair{} },
		"conflict": func(p *api.Pair) {
			p.Agreement = api.Agreement{
				State: "conflict", Own: api.RevisionID{Revision: 43, SHA256: "a1b2c3d4"}, Peer: api.RevisionID{Revision: 43, SHA256: "0f1e2d3c"},
				Remedy: "lbctl pair diff, then lbctl pair adopt lb1 or lb2",
			}
			p.InSync.Yes, p.InSync.Facts[4].Yes, p.InSync.Since = false, false, now.Add(-time.Minute)
			p.Problems = []string{
				"conflict: lb1 runs configuration 43 a1b2c3, lb2 another one, 43 0f1e2d: lbctl pair diff, then lbctl pair adopt lb1 or lb2",
				"not in sync with lb2 since 10:10:12: another revision",
			}
		},
		"no-link": func(p *api.Pair) {
			p.Own.Role, p.Own.Why, p.Own.Priority, p.Own.Fault, p.Lease = "standby", "fault: leg wan has no carrier", 1, "leg wan has no carrier", "ended"
			p.Own.Failing = []string{"leg wan has no carrier (a fault)", "gateway 192.0.2.254 fails (30 off the priority)"}
			p.WhyNot = "fault: leg wan has no carrier"
			p.Peer.Role, p.Peer.Told = "active", now.Add(-time.Minute)
			p.InSync.Yes, p.Hold = false, &api.Hold{Author: "0 root", Since: now.Add(-time.Hour)}
			for i := range p.Heartbeats {
				p.InSync.Facts[i].Yes = false
				p.Heartbeats[i].Up, p.Heartbeats[i].Carries, p.Heartbeats[i].Since = false, false, now.Add(-time.Minute)
				p.Heartbeats[i].Error = "dial tcp 172.31.0.1:0->172.31.0.2:4711: connect: no route to host"
			}
			p.Transition.Silent = []string{"neighbour 192.0.2.254 does not answer to 192.0.2.100, but to this router's own address"}
			p.OtherVRIDs = []api.OtherVRID{{VRID: 51, Interface: "eth0", From: "192.0.2.77", Heard: now.Add(-time.Second)}}
			p.Problems = []string{"fault: leg wan has no carrier", "no connection to lb2: it has neither the flows nor the configuration of this router"}
		},
		"foreign": func(p *api.Pair) {
			p.Foreign, p.Peer, p.Agreement, p.InSync = true, api.PairRouter{Name: "old", Configured: 100}, api.Agreement{}, api.InSync{}
			p.WhyNot = "it is heard of only when it is active"
			p.Heartbeats[1].Checksum, p.Adverts.PseudoHeader = "pseudo-header", 12
		},
		"services": func(p *api.Pair) {
			p.Services = []api.Service{
				{Name: "vsftpd.service", State: "running"},
				{Name: "mux", State: "failed", Critical: true, Failures: 4, Restarts: 3, Error: "it does not start: exit status 1"},
				{Name: "late.service", State: "stopped", Failures: 1, Restarts: 3},
			}
			p.HealthDifferences = []api.HealthDifference{
				{Vip: "192.0.2.100:80/tcp", Real: "10.0.0.12:80", Up: "lb1", Down: "lb2", Error: "no answer within 1s"},
				{Vip: "[2001:db8:1111:2222:3333:4444:5555:6666]:65535/udp", Real: "[2001:db8:7777:8888:9999:aaaa:bbbb:cccc]:65535", Up: "lb2", Down: "lb1"},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := aPair(now)
			spoil(&p)
			got := pairText(p, now)
			file := filepath.Join("testdata", "pair-"+name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if diff := cmp.Diff(string(want), got); diff != "" || err != nil {
				t.Error(err, diff)
			}
			for line := range strings.Lines(got) {
				if len(line) > 81 {
					t.Errorf("%d columns: %s", len(line)-1, line)
				}
			}
		})
	}
}

func TestPairStatus(t *testing.T) {
	r := &router{pair: aPair(time.Now())}
	if code, stdout, stderr := r.lbctl(t, "pair", "status"); code != 0 || !strings.HasPrefix(stdout, "all is well\n") || stderr != "" {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	r.pair.Problems = []string{"not in sync"}
	if code, stdout, _ := r.lbctl(t, "pair", "status"); code != exitRefused || !strings.HasPrefix(stdout, "PROBLEM: not in sync\n") {
		t.Errorf("with a problem: exit code %d, %s", code, stdout)
	}
	if code, stdout, _ := r.lbctl(t, "pair", "status", "-o", "json"); code != exitRefused || !strings.Contains(stdout, `"paired": true`) {
		t.Errorf("in JSON: exit code %d, %s", code, stdout)
	}
	r.pair = api.Pair{Problems: []string{}}
	if code, stdout, _ := r.lbctl(t, "pair", "status"); code != 0 || !strings.HasPrefix(stdout, "this router is alone") {
		t.Errorf("alone: exit code %d, %s", code, stdout)
	}
}
