package config

import (
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/loader"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// lab is a machine with one address on either side.
func lab() Facts {
	return Facts{Interfaces: []Interface{
		{Name: "lo", Networks: prefixes("127.0.0.1/8", "::1/128")},
		{Name: "eth0", Networks: prefixes("192.168.26.2/24")},
		{Name: "eth1", Networks: prefixes("10.0.0.1/24")},
	}}
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestAllErrorsAtOnce(t *testing.T) {
	data, err := os.ReadFile("testdata/errors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	facts := lab()
	facts.Hostname = "lb3"
	_, err = ParseOn("/etc/tarpon/tarpon.yaml", data, facts)
	list, ok := err.(*Errors)
	if !ok {
		t.Fatalf("%T %v", err, err)
	}
	list.Note = "revision 41 goes on"
	golden(t, "errors.txt", list.Error()+"\n")
}

func mustAddrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func mustParse(t *testing.T, data string) *Config {
	t.Helper()
	c, err := Parse("f", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := mustParse(t, legs+`checks: {web: {type: http}}
vips:
  - vip: 192.0.2.1:80
    reals: [10.0.0.1, 10.0.0.2:8080]
  - {vip: "192.0.2.1:53/udp", check: {type: tcp, interval: 200ms}}
  - vip: "2001:db8::1/udp"
`)
	timeouts := loader.Timeouts{
		Handshake: time.Minute, Established: 15 * time.Minute, Closing: 2 * time.Minute, Closed: 10 * time.Second,
		UDP: 5 * time.Minute, UDPUnreplied: 30 * time.Second,
	}
	tcp := Check{Name: "tcp", Type: CheckTCP, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Jitter: 0.1}
	none, quick, web := tcp, tcp, tcp
	none.Name, none.Type = "none", CheckNone
	quick.Name, quick.Interval, quick.Timeout = "", 200*time.Millisecond, 200*time.Millisecond
	web.Name, web.Type, web.Method, web.Path, web.Status = "web", CheckHTTP, "GET", "/", []StatusRange{{200, 299}}
	vip := func(endpoint string, protocol loader.Protocol, prefix int, check Check, reals ...Real) Vip {
		return Vip{
			Endpoint: loader.Endpoint{AddrPort: mustAddrPort(endpoint), Protocol: protocol}, Enabled: true,
			Prefix: prefix, Scheduler: "mh", Check: check, Timeouts: timeouts, Reals: reals,
		}
	}
	want := &Config{
		Version: 1,
		Legs:    []Leg{{"wan", loader.Outside, "eth0", loader.Auto}, {"lan", loader.Inside, "eth1", loader.Auto}},
		Flows:   Flows{1048576, 262144, timeouts},
		Checks:  map[string]Check{"tcp": tcp, "none": none, "web": web},
		Metrics: Metrics{mustAddrPort("127.0.0.1:9712")},
		Vips: []Vip{
			vip("192.0.2.1:80", loader.TCP, 32, tcp,
				Real{Address: mustAddrPort("10.0.0.1:80"), Weight: 1, Enabled: true, Check: tcp},
				Real{Address: mustAddrPort("10.0.0.2:8080"), Weight: 1, Enabled: true, Check: tcp}),
			vip("192.0.2.1:53", loader.UDP, 32, quick),
			vip("[2001:db8::1]:0", loader.UDP, 128, none),
		},
	}
	if !c.Equal(want) {
		t.Error(diffConfigs(want, c))
	}
	if got := c.Place("vips[0].reals[1]"); got != (Place{7, 23}) {
		t.Errorf("the second real is at %v", got)
	}
}

func TestFullFile(t *testing.T) {
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, string(data))
	if c.Vips[1].Check.Type != CheckNone {
		t.Error("the default check is of tcp vips only")
	}
	if v := c.Vips[2]; v.Leg != "net" || v.Prefix != 24 {
		t.Errorf("a vip on a floating address has leg %q and prefix %d", v.Leg, v.Prefix)
	}
	exported := Export(c)
	golden(t, "full.export.yaml", string(exported))
	if again := mustParse(t, string(exported)); !again.Equal(c) {
		t.Error(diffConfigs(c, again))
	}
}

func TestEndpoints(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:80":              "192.0.2.1:80/tcp",
		"192.0.2.1:80/tcp":          "192.0.2.1:80/tcp",
		"192.0.2.1:53/udp":          "192.0.2.1:53/udp",
		"192.0.2.1":                 "192.0.2.1/tcp",
		"192.0.2.1:0/udp":           "192.0.2.1/udp",
		"[2001:db8::1]:80":          "[2001:db8::1]:80/tcp",
		"[2001:DB8:0::1]:80/udp":    "[2001:db8::1]:80/udp",
		"2001:db8::1":               "2001:db8::1/tcp",
		"[2001:db8::1]/udp":         "2001:db8::1/udp",
		"":                          "",
		":80":                       "",
		"192.0.2.1:":                "",
		"192.0.2.1:65536":           "",
		"192.0.2.1:+80":             "",
		"192.0.2.01:80":             "",
		"[192.0.2.1]:80":            "",
		"[2001:db8::1]80":           "",
		"[2001:db8::1":              "",
		"[fe80::1%eth0]:80":         "",
		"192.0.2.1:80/":             "",
		"192.0.2.1:80/TCP":          "",
		"[::ffff:192.0.2.1]:80/tcp": "",
	} {
		e, err := ParseVip(in)
		got := ""
		if err == nil {
			got = FormatVip(e)
		} else if e != (loader.Endpoint{}) {
			t.Errorf("%q: an error and %v", in, e)
		}
		if got != want {
			t.Errorf("%q is %q (%v), want %q", in, got, err, want)
		}
		if again, err := ParseVip(got); got != "" && (err != nil || again != e) {
			t.Errorf("%q does not come back: %v %v", got, again, err)
		}
	}
}

func TestHash(t *testing.T) {
	empty := HashOf(nil)
	if empty != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" || empty.Short() != "e3b0c4" || Hash("").Short() != "" {
		t.Error(empty, empty.Short())
	}
}

func TestManyFaults(t *testing.T) {
	_, err := Parse("f", []byte(legs+strings.Repeat("a: b\n", 1000)))
	list, ok := err.(*Errors)
	if !ok || len(list.List) != maxFaults || list.More != 900 || !strings.HasPrefix(list.Error(), "f: 1000 errors,") || !strings.HasSuffix(list.Error(), "and 900 more") {
		t.Errorf("%.200s", err)
	}
}
