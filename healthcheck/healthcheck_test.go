package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMachine(t *testing.T) {
	config := Config{Rise: 2, Fall: 3}
	tests := []struct {
		name    string
		start   State
		results string // + well, - not
		want    string // U up, d down after each
	}{
		{"rises after two", State{}, "++-+", "dUUU"},
		{"falls after three", State{Up: true}, "--+---", "UUUUUd"},
		{"rise must be in a row", State{}, "+-+-++", "dddddU"},
		{"first decides, well", State{Decisive: true}, "+--", "UUU"},
		{"first decides, not well", State{Decisive: true, Up: true}, "-+", "dd"},
		{"first decides only once", State{Decisive: true}, "-++", "ddU"},
		{"a restart believes what was", State{Up: true}, "-", "U"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			state, got := test.start, ""
			for _, r := range test.results {
				var failure error
				if r == '-' {
					failure = errors.New("no")
				}
				state = state.Next(config, failure, time.Time{})
				got += map[bool]string{true: "U", false: "d"}[state.Up]
			}
			if got != test.want {
				t.Errorf("%s gives %s, want %s", test.results, got, test.want)
			}
		})
	}
}

func localAddress(t *testing.T, l net.Listener) netip.AddrPort {
	t.Helper()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestTCPProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := TCP{localAddress(t, l)}
	if err := p.Probe(t.Context()); err != nil {
		t.Errorf("a listening server: %v", err)
	}
	l.Close()
	if err := p.Probe(t.Context()); err == nil || err.Error() != "connection refused" {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestHTTPProbe(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			<-r.Context().Done()
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/broken":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, "host %s", r.Host)
	}))
	defer server.Close()
	base := HTTP{Address: localAddress(t, server.Listener), Method: "GET", Path: "/", Status: "200-299"}
	with := func(change func(*HTTP)) HTTP { p := base; change(&p); return p }
	for _, test := range []struct {
		name  string
		probe HTTP
		want  string // of the error; empty: well
	}{
		{"well", base, ""},
		{"status", with(func(p *HTTP) { p.Path = "/broken" }), "HTTP 503, wanted 200-299"},
		{"status wanted", with(func(p *HTTP) { p.Path = "/broken"; p.Status = "200,500-503" }), ""},
		{"a redirect is an answer", with(func(p *HTTP) { p.Path = "/moved" }), "HTTP 302"},
		{"host and body", with(func(p *HTTP) { p.Host = "shop.example"; p.Body = "host shop" }), ""},
		{"body", with(func(p *HTTP) { p.Body = "^ready$" }), "does not match"},
		{"timeout", with(func(p *HTTP) { p.Path = "/slow" }), "timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			timeout := 10 * time.Second
			if test.want == "timeout" {
				timeout = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			err := test.probe.Probe(ctx)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// scripted is a server whose health is a function of time.
type scripted struct{ down *bool }

func (s scripted) Probe(context.Context) error {
	if *s.down {
		return errors.New("down")
	}
	return nil
}

func TestSetFollowsAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down bool
		set := NewSet[string]()
		config := Config{Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Jitter: 0.1}
		checks := map[string]Check{"a": {Probe: scripted{&down}, Config: config, Start: State{Decisive: true}, Now: true}}
		set.Update(checks)
		begun := time.Now()
		if e := <-set.Events(); !e.Changed || !e.State.Up || time.Since(begun) > 0 {
			t.Errorf("first event %+v after %s: up at once", e, time.Since(begun))
		}
		down = true
		stopped := time.Now()
		for e := range set.Events() {
			if !e.State.Up {
				break
			}
		}
		if took := time.Since(stopped); took < 3*config.Interval*9/10 || took > 3*config.Interval*11/10 {
			t.Errorf("down after %s, want about %s", took, 3*config.Interval)
		}
		set.Update(checks) // unchanged: goes on with its falls
		if e := <-set.Events(); e.State.Up || e.State.Falls != 3 {
			t.Errorf("after an update without change: %+v", e.State)
		}
		set.Close()
	})
}
