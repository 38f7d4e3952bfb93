package control

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/healthcheck"
	"github.com/tarpon-lb/tarpon/loader"
	"go.uber.org/zap"
)

func newHealth(dir string) *Controller {
	return &Controller{Options: Options{RunDir: dir, Log: zap.NewNop()}, health: map[checkKey]*realHealth{}, have: loader.NewTables()}
}

// A restart believes the kernel's tables, and its notes about since when and why.
func TestHealthIsRecalled(t *testing.T) {
	web := loader.Endpoint{AddrPort: at("192.0.2.1:80"), Protocol: loader.TCP}
	up, down, fresh, removed := at("10.0.0.11:80"), at("10.0.0.12:80"), at("10.0.0.13:80"), at("10.0.0.14:80")
	since := time.Now().Add(-time.Hour).Round(0).UTC()
	for name, broken := range map[string]bool{"with notes": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before := newHealth(dir)
			before.health[checkKey{web, up}] = &realHealth{state: healthcheck.State{Up: false, Since: since}}
			before.health[checkKey{web, down}] = &realHealth{state: healthcheck.State{Up: true, Since: since, Error: "timeout"}}
			before.writeNotes()
			c := newHealth(dir)
			if broken {
				if err := os.WriteFile(c.notesFile(), []byte("{"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c.have.Vips[1] = loader.Vip{Endpoint: web}
			c.have.Backends[1] = loader.Backend{Vip: 1, Real: up}
			c.have.Backends[2] = loader.Backend{Vip: 1, Real: down, Down: true}
			c.have.Backends[3] = loader.Backend{Vip: 1, Real: fresh}
			c.have.Backends[4] = loader.Backend{Vip: 1, Real: removed, Removed: true}
			c.recallHealth()
			got := map[string]healthcheck.State{}
			for key, h := range c.health {
				state := h.state
				if time.Since(state.Since) < time.Minute {
					state.Since = time.Time{} // now
				}
				got[key.real.String()] = state
			}
			want := map[string]healthcheck.State{
				up.String(): {Up: true, Since: since}, down.String(): {Since: since, Error: "timeout"}, fresh.String(): {Up: true},
			}
			if broken {
				want[up.String()], want[down.String()] = healthcheck.State{Up: true}, healthcheck.State{}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A real that serves without a check goes on to serve until its new one decides.
func TestHealthWithANewCheck(t *testing.T) {
	initial, serves := healthcheck.State{Decisive: true}, healthcheck.State{Up: true}
	for _, test := range []struct {
		name string
		have *loader.Backend
		want healthcheck.State
	}{
		{"new", nil, initial},
		{"serves", &loader.Backend{Vip: 1}, serves},
		{"cut", &loader.Backend{Vip: 1, Down: true}, initial},
		{"back again", &loader.Backend{Vip: 1, Removed: true}, initial},
		{"of another vip", &loader.Backend{Vip: 2}, initial},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newHealth(t.TempDir())
			c.config = parse(t, shop)
			vip := c.config.Vips[0]
			key := checkKey{vip.Endpoint, vip.Reals[0].Address}
			c.have.Vips[1], c.have.Vips[2] = loader.Vip{Endpoint: vip.Endpoint}, loader.Vip{}
			if test.have != nil {
				test.have.Real = key.real
				c.have.Backends[1] = *test.have
			}
			for range 2 { // what is known once stays
				c.updateHealth(c.config, nil)
				state := c.health[key].state
				state.Since = time.Time{}
				if diff := cmp.Diff(test.want, state); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// What a change of some vips says of checks is what a look at all of them would.
func TestHealthOfChangedVips(t *testing.T) {
	const legs = "legs: {net: {role: both, interface: eth0}}\nvips:\n"
	texts := map[string][]string{ // the lines that a vip may have
		"192.0.2.1:80": {
			"", `[10.0.0.1, 10.0.0.2]}`, `[10.0.0.2, 10.0.0.3]}`, `[10.0.0.1], check: none}`, `[10.0.0.1], enabled: false}`,
			`[10.0.0.1], check: {type: tcp, interval: 9s}}`, `[{real: 10.0.0.1, enabled: false}, 10.0.0.2]}`,
		},
		"192.0.2.2:80": {`[10.0.0.1, 10.0.0.4]}`, "", `[]}`},
	}
	file := func(choice map[string]int) *config.Config {
		text := legs
		for vip, lines := range texts {
			if line := lines[choice[vip]]; line != "" {
				text += `  - {vip: "` + vip + `", leg: net, reals: ` + line + "\n"
			}
		}
		if text == legs {
			text += "  []\n"
		}
		return parse(t, text)
	}
	random := rand.New(rand.NewPCG(1, 2))
	choice := map[string]int{}
	c := newHealth(t.TempDir())
	c.config = file(choice)
	watched, _ := c.updateHealth(nil, nil)
	for range 500 {
		old, vip := c.config, "192.0.2.1:80"
		if random.IntN(2) == 0 {
			vip = "192.0.2.2:80"
		}
		choice[vip] = random.IntN(len(texts[vip]))
		c.config = file(choice)
		run, end := c.updateHealth(old, scope{{AddrPort: at(vip), Protocol: loader.TCP}: true})
		for _, key := range end {
			delete(watched, key)
		}
		maps.Copy(watched, run)
		whole := newHealth(t.TempDir())
		whole.config = c.config
		want, _ := whole.updateHealth(nil, nil)
		if !sameQuestions(watched, want) || len(c.health) != len(want) {
			t.Fatalf("choice %v: %d checks, %d known; want %d: %v", choice, len(watched), len(c.health), len(want), slices.Collect(maps.Keys(want)))
		}
	}
}

// sameQuestions says whether two sets ask the same of the same.
func sameQuestions(a, b map[checkKey]healthcheck.Check) bool {
	return maps.EqualFunc(a, b, func(a, b healthcheck.Check) bool { return a.Probe == b.Probe && a.Config == b.Config })
}

// The address of a vip whose reals have no first result yet waits, not for ever.
func TestAddressDue(t *testing.T) {
	vip := parse(t, shop).Vips[0] // its check: 2 s, and 1 s for the answer
	key := checkKey{vip.Endpoint, vip.Reals[0].Address}
	for _, test := range []struct {
		name   string
		health *realHealth
		waits  bool
	}{
		{"no check", nil, false},
		{"not probed yet", &realHealth{start: time.Now(), state: healthcheck.State{Decisive: true}}, true},
		{"of an earlier daemon", &realHealth{start: time.Now(), state: healthcheck.State{}}, false},
		{"probed", &realHealth{start: time.Now(), state: healthcheck.State{Checked: true, Decisive: true}}, false},
		{"overdue", &realHealth{start: time.Now().Add(-vip.Reals[0].Check.Interval - vip.Reals[0].Check.Timeout), state: healthcheck.State{Decisive: true}}, false},
	} {
		c := &Controller{health: map[checkKey]*realHealth{}}
		if test.health != nil {
			c.health[key] = test.health
		}
		if due := c.addressDue(vip); (due > 0) != test.waits {
			t.Errorf("%s: due in %s", test.name, due)
		}
	}
}

func TestDrained(t *testing.T) {
	waiting := make(chan int, 3)
	for _, n := range []int{2, 3} {
		waiting <- n
	}
	for _, want := range [][]int{{1, 2, 3}, {1}} {
		if diff := cmp.Diff(want, drained(1, waiting)); diff != "" {
			t.Error(diff)
		}
	}
}

// What a file says of a check is what is asked.
func TestProbe(t *testing.T) {
	for check, want := range map[string]healthcheck.Probe{
		"{type: tcp}":           healthcheck.TCP{Address: at("10.0.0.11:80")},
		"{type: tcp, port: 81}": healthcheck.TCP{Address: at("10.0.0.11:81")},
		"{type: ping}":          healthcheck.Ping{Address: at("10.0.0.11:80").Addr()},
		"{type: exec, port: 5432, run: [/etc/check, -q, two words]}": healthcheck.Exec{
			Address: at("10.0.0.11:5432"), Argv: healthcheck.Argv([]string{"/etc/check", "-q", "two words"}),
		},
		"{type: http, method: HEAD, path: /up, host: a.example, status: [200, 301-302], body: ok}": healthcheck.HTTP{
			Address: at("10.0.0.11:80"), Method: "HEAD", Path: "/up", Host: "a.example", Status: "200-200,301-302", Body: "ok",
		},
		"{type: https}": healthcheck.HTTP{
			Address: at("10.0.0.11:80"), Method: "GET", Path: "/", Status: "200-299", TLS: healthcheck.TLS{On: true, Verify: true},
		},
		"{type: https, verify: false, ca: /etc/ca, sni: b.example}": healthcheck.HTTP{
			Address: at("10.0.0.11:80"), Method: "GET", Path: "/", Status: "200-299",
			TLS: healthcheck.TLS{On: true, CA: "/etc/ca", Name: "b.example"},
		},
	} {
		c, err := config.Parse("f", []byte("legs: {net: {role: both, interface: eth0}}\nvips:\n"+
			"  - {vip: 192.0.2.1:80, check: "+check+", reals: [10.0.0.11]}\n"))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := probe(c.Vips[0].Reals[0]); got != want {
			t.Errorf("%s asks %+v, want %+v", check, got, want)
		}
	}
}
