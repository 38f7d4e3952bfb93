package e2e

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// samples are a scrape's values by "name{labels}".
type samples map[string]float64

// scrape asks for metrics as Prometheus on the router does.
func scrape(l *lab.Lab, address string) (samples, error) {
	out, err := l.Run("router", "curl", "-sSf", "-m", "10", "http://"+address+"/metrics")
	if err != nil {
		return nil, fmt.Errorf("curl: %w: %s", err, out)
	}
	s := samples{}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		var value float64
		if _, err := fmt.Sscan(line[at+1:], &value); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		s[line[:at]] = value
	}
	return s, nil
}

func mustScrape(t *testing.T, l *lab.Lab, address string) samples {
	t.Helper()
	s, err := scrape(l, address)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// of is the sum of a metric's samples that have these labels.
func (s samples) of(name string, labels ...string) (sum float64) {
	for series, value := range s {
		is := series == name || strings.HasPrefix(series, name+"{")
		for _, label := range labels {
			is = is && strings.Contains(series, label)
		}
		if is {
			sum += value
		}
	}
	return sum
}

// tcp is what a namespace's kernel counts of its own TCP.
type tcp struct{ Opened, Received, Sent float64 }

func tcpOf(t *testing.T, l *lab.Lab, who string) (c tcp) {
	t.Helper()
	out, err := l.Run(who, "nstat", "-asz", "TcpActiveOpens", "TcpInSegs", "TcpOutSegs", "TcpRetransSegs")
	if err != nil {
		t.Fatalf("nstat: %v: %s", err, out)
	}
	for line := range strings.Lines(out) {
		for name, to := range map[string]*float64{"TcpActiveOpens": &c.Opened, "TcpInSegs": &c.Received, "TcpOutSegs": &c.Sent, "TcpRetransSegs": &c.Sent} {
			if rest, ok := strings.CutPrefix(line, name+" "); ok {
				var n float64
				if _, err := fmt.Sscan(rest, &n); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				*to += n // what is sent again is counted apart
			}
		}
	}
	return c
}

// What is counted is what ab's kernel sent and got. (ab opens some connections more than
// it makes requests.)
func TestMetrics(t *testing.T) {
	l := newLab(t, lab.Options{})
	const address = "127.0.0.1:9712"
	service(t, l, vip4(), "--name", "shop")
	vip := fmt.Sprintf("vip=%q", vip4()+"/tcp")
	real := func(n int) string { return fmt.Sprintf(`real="%s:80"`, l.Real4(n)) }
	before, client := mustScrape(t, l, address), tcpOf(t, l, "client")
	const requests = 500
	out, err := l.Run("client", "ab", "-q", "-n", fmt.Sprint(requests), "-c", "10", "http://"+vip4()+"/")
	if err != nil || !strings.Contains(out, "Failed requests:        0") {
		t.Fatalf("ab: %v\n%s", err, out)
	}
	var after samples
	grew := func(name string, labels ...string) float64 {
		return after.of(name, labels...) - before.of(name, labels...)
	}
	err = lab.Wait(10*time.Second, func() error { // the last packets may be under way
		if after, err = scrape(l, address); err != nil {
			return err
		}
		counted := tcp{
			Opened:   grew("tarpon_real_connections_total", vip),
			Sent:     grew("tarpon_real_packets_total", vip, `direction="in"`),
			Received: grew("tarpon_real_packets_total", vip, `direction="out"`),
		}
		now := tcpOf(t, l, "client")
		want := tcp{Opened: now.Opened - client.Opened, Sent: now.Sent - client.Sent, Received: now.Received - client.Received}
		if counted != want || want.Opened < requests {
			return fmt.Errorf("counted %+v, the client's kernel %+v", counted, want)
		}
		if in, out := grew("tarpon_packets_total", `reason="forward_in"`), grew("tarpon_packets_total", `reason="forward_out"`); in != want.Sent || out != want.Received {
			return fmt.Errorf("%v packets forwarded in and %v out; the client's kernel %+v", in, out, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= lab.Reals; n++ {
		log, err := os.ReadFile(l.AccessLog(n))
		if err != nil {
			t.Fatal(err)
		}
		logged := float64(bytes.Count(log, []byte(lab.Client4+" ")))
		if made := after.of("tarpon_real_connections_total", vip, real(n)); logged == 0 || made < logged {
			t.Errorf("real%d: %v connections, it logged %v requests", n, made, logged)
		}
	}
	if up, usable := after.of("tarpon_real_up", vip), after.of("tarpon_vip_usable_reals", vip); up != lab.Reals || usable != lab.Reals {
		t.Errorf("%v reals up, %v usable", up, usable)
	}
	if after.of("tarpon_leg_info", `mode="native"`) != 2 || after.of("tarpon_config_revision") != 2 || after.of("tarpon_health_checks_total") == 0 {
		t.Errorf("legs, revision or probes: %v", after)
	}
	// Every reason of the program's, by its own words.
	abi, err := os.ReadFile("../../bpf/abi.h")
	if err != nil {
		t.Fatal(err)
	}
	_, reasons, _ := strings.Cut(string(abi), "struct reasons {")
	reasons, _, _ = strings.Cut(reasons, "\n};")
	names := regexp.MustCompile(`__u64 (\w+);`).FindAllStringSubmatch(reasons, -1)
	for _, name := range names {
		for _, hook := range []string{"xdp", "tc"} {
			series := fmt.Sprintf(`{hook=%q,reason=%q}`, hook, name[1])
			_, packets := after["tarpon_packets_total"+series]
			_, events := after["tarpon_flow_table_events_total"+series]
			if packets == events {
				t.Errorf("reason %s at %s: among packets %v, among the flow tables' events %v", name[1], hook, packets, events)
			}
		}
	}
	if len(names) < 40 {
		t.Errorf("bpf/abi.h has only %d reasons", len(names))
	}

	if err := l.StopNginx(2); err != nil {
		t.Fatal(err)
	}
	if err := lab.Wait(30*time.Second, func() error {
		s, err := scrape(l, address)
		if err == nil && (s.of("tarpon_real_up", real(2)) != 0 || s.of("tarpon_vip_usable_reals", vip) != lab.Reals-1) {
			err = fmt.Errorf("real2 is up, says the scrape")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// Where metrics are served changes with the configuration; where they cannot be, the
// router runs all the same, says so, and tries again.
func TestMetricsListen(t *testing.T) {
	l := newLab(t, lab.Options{})
	config := configFile(t, l)
	listen := func(address string) {
		t.Helper()
		if err := os.WriteFile(l.Config(), fmt.Appendf(nil, "%smetrics: {listen: %q}\n", config, address), 0o644); err != nil {
			t.Fatal(err)
		}
		contains(t, lbctl(t, l, "reload"), "metrics: listen")
	}
	served := func(address string, want bool) {
		t.Helper()
		if _, err := scrape(l, address); (err == nil) != want {
			t.Errorf("served at %s: %v", address, err)
		}
	}
	served("127.0.0.1:9712", true)
	if err := os.WriteFile(l.Config(), []byte(config+"# half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := mustScrape(t, l, "127.0.0.1:9712"); s.of("tarpon_config_edited") != 1 || s.of("tarpon_problems") != 1 {
		t.Error("a file that was edited by hand is not seen")
	}
	listen("[::1]:9100")
	served("127.0.0.1:9712", false)
	served("[::1]:9100", true)
	listen("")
	served("[::1]:9100", false)

	const later = "10.0.0.77:9712" // an address that comes later
	listen(later)
	contains(t, exits(t, l, 1, "status"), "PROBLEM: metrics are not served: listen tcp "+later)
	contains(t, lbctl(t, l, "events"), "serve metrics: listen tcp "+later)
	if err := l.KillDaemon(9); err != nil {
		t.Fatal(err)
	}
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	contains(t, exits(t, l, 1, "status"), "metrics are not served")
	if out, err := l.Run("router", "ip", "addr", "add", "10.0.0.77/24", "dev", "lan"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := lab.Wait(30*time.Second, func() error { _, err := scrape(l, later); return err }); err != nil {
		t.Fatal(err)
	}
	exits(t, l, 0, "status")
}
