package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// What explain says of a packet is what then becomes of it, and asking changes nothing.
func TestExplain(t *testing.T) {
	for _, o := range []lab.Options{{}, {Mode: "tc"}, {OneArmed: true}} {
		t.Run(fmt.Sprintf("mode=%s,onearmed=%v", o.Mode, o.OneArmed), func(t *testing.T) {
			l := newLab(t, o)
			// What is connected is told to the program only beside a default route.
			for _, gateway := range []string{lab.Client4, lab.Client6} {
				if out, err := l.Run("router", "ip", "route", "add", "default", "via", gateway); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			for vip, client := range map[string]string{vip4(): lab.Client4, vip6(): lab.Client6} {
				service(t, l, vip)
				foretold(t, l, vip, client)
			}
			toldOfUDP(t, l)
			whyNot(t, l)
		})
	}
}

// foretold asks for the real of some client ports, then goes there.
func foretold(t *testing.T, l *lab.Lab, vip, client string) {
	t.Helper()
	first := 20001
	if strings.Contains(vip, "::") {
		first += 100 // what is bound is bound for both families
	}
	for port := first; port < first+12; port++ {
		from := net.JoinHostPort(client, strconv.Itoa(port))
		before := flowLines(t, l)
		e := explained(t, l, "--from", from, "--to", vip)
		if after := flowLines(t, l); after != before {
			t.Errorf("%s: asking changed the flows:\n%s\nwere:\n%s", from, after, before)
		}
		if e.Outcome != api.Forwarded || e.Schedule == nil || e.Flow != nil {
			t.Fatalf("%s: %+v", from, e)
		}
		server, err := l.Run("client", "curl", "-sS", "-m", "3", "--local-port", fmt.Sprint(port), "http://"+vip+"/")
		if err != nil {
			t.Fatalf("curl: %v: %s", err, server)
		}
		n := strings.TrimPrefix(strings.TrimSpace(server), "real")
		if want := "real" + fmt.Sprint(realNumber(l, e.Real)); "real"+n != want {
			t.Errorf("%s: %s answered, but explain said %s", from, server, e.Real)
		}
		again := explained(t, l, "--from", from, "--to", vip, "--flags", "A")
		if again.Flow == nil || again.Flow.Real != e.Real || again.Real != e.Real {
			t.Errorf("%s: its flow is with %s, and explained as %+v", from, e.Real, again)
		}
		reply := explained(t, l, "--from", e.Real, "--to", from, "--flags", "A")
		if reply.Reason != "forward_out" || !strings.HasPrefix(reply.After, "tcp "+vip+" > "+from) {
			t.Errorf("%s: the reply is explained as %+v", from, reply)
		}
	}
}

func realNumber(l *lab.Lab, address string) int {
	for n := 1; n <= lab.Reals; n++ {
		if l.Real4(n)+":80" == address || "["+l.Real6(n)+"]:80" == address {
			return n
		}
	}
	return 0
}

// toldOfUDP asks for flows of UDP that are there, of both families.
func toldOfUDP(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, vip := range echoService(t, l, "none") {
		if _, err := l.NewStream("udp", vip, 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		name := vip.String() + "/udp"
		waitFlows(t, l, 1, "--state", "replied", "--vip", name)
		var flow api.Flow
		if err := json.Unmarshal([]byte(lbctl(t, l, "flows", "-o", "json", "--vip", name)), &flow); err != nil {
			t.Fatal(err)
		}
		if e := explained(t, l, "--from", flow.Client, "--to", name); e.Flow == nil || e.Flow.Real != flow.Real || e.Real != flow.Real {
			t.Errorf("%+v is explained as %+v", flow, e)
		}
		reply := explained(t, l, "--from", flow.Real, "--to", flow.Client+"/udp")
		if reply.Reason != "forward_out" || !strings.HasPrefix(reply.After, "udp "+flow.Vip+" > "+flow.Client) {
			t.Errorf("the reply of %+v is explained as %+v", flow, reply)
		}
	}
}

// whyNot asks for packets that do not reach a real.
func whyNot(t *testing.T, l *lab.Lab) {
	t.Helper()
	lbctl(t, l, "add-vip", lab.Vip4(8)+":80", "--name", "nobody", "--check", "none")
	lbctl(t, l, "add-vip", lab.Vip4(9)+":80", "--check", "none", "--real", l.Real4(1)+":80")
	lbctl(t, l, "add-vip", lab.Vip4(8)+":53/udp", "--name", "no-udp", "--check", "none")
	vip6, real6 := "["+lab.Vip6(9)+"]", "["+l.Real6(1)+"]"
	lbctl(t, l, "add-vip", vip6+":53/udp", "--check", "none", "--real", real6+":53")
	for _, test := range []struct {
		args, reason, says string
	}{
		{"--from 192.0.2.77 --to nobody", "answer_empty", `0 of 0 reals are usable`},
		{"--from 192.0.2.77 --to " + lab.Vip4(9) + ":81", "pass_other_port", `no vip has port 81/tcp: there are ` + lab.Vip4(9) + `:80/tcp`},
		{"--from 192.0.2.77 --to 192.0.2.99:80", "pass_not_ours", `none has the address 192.0.2.99`},
		{"--from 192.0.2.77 --to " + lab.Vip4(9) + ":80 --fragment", "drop_fragment", `fragments of balanced traffic`},
		{"--from 192.0.2.77 --to " + lab.Vip4(9) + ":80 --ttl 1", "answer_ttl", `time exceeded`},
		{"--from " + l.Real4(2) + " --to " + lab.Vip4(9) + ":80", "drop_needs_full_nat", `skipped   ` + l.Real4(1) + `:80: the client is on its network`},
		{"--from " + l.Real4(1) + " --to " + lab.Vip4(9) + ":80", "drop_self", `skipped   ` + l.Real4(1) + `:80: it is the client itself`},
		{"--from 192.0.2.77 --to no-udp", "answer_empty", `0 of 0 reals are usable`},
		{"--from 192.0.2.77 --to " + lab.Vip4(9) + ":80/udp", "pass_other_port", `no vip has port 80/udp: there are ` + lab.Vip4(9) + `:80/tcp`},
		{"--from 2001:db8:1::77 --to " + vip6 + ":53", "pass_other_port", `no vip has port 53/tcp: there are ` + vip6 + `:53/udp`},
		{"--from 2001:db8:1::77 --to [2001:db8:1::99]:53/udp", "pass_not_ours", `none has the address 2001:db8:1::99`},
		{"--from 2001:db8:1::77 --to " + vip6 + ":53/udp --fragment", "drop_fragment", `fragments of balanced traffic`},
		{"--from 2001:db8:1::77 --to " + vip6 + ":53/udp --ttl 1", "answer_ttl", `time exceeded`},
		{"--from " + l.Real6(2) + " --to " + vip6 + ":53/udp", "drop_needs_full_nat", `skipped   ` + real6 + `:53: the client is on its network`},
		{"--from " + l.Real6(1) + " --to " + vip6 + ":53/udp", "drop_self", `skipped   ` + real6 + `:53: it is the client itself`},
	} {
		args := strings.Fields(test.args)
		if e := explained(t, l, args...); e.Reason != test.reason {
			t.Errorf("explain %s: %s, want %s", test.args, e.Reason, test.reason)
		}
		text := lbctl(t, l, append([]string{"explain"}, args...)...)
		if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(test.says), " ")) {
			t.Errorf("explain %s does not say %q:\n%s", test.args, test.says, text)
		}
		for line := range strings.Lines(text) {
			if len(line) > 81 {
				t.Errorf("explain %s: %d columns: %s", test.args, len(line), line)
			}
		}
	}
	contains(t, exits(t, l, 1, "explain", "--from", lab.Vip4(9), "--to", lab.Vip4(9)+":80"), "this router's own address")
	contains(t, exits(t, l, 2, "explain", "--to", lab.Vip4(9)+":80"), "--from is missing")
}

func explained(t *testing.T, l *lab.Lab, args ...string) (e api.Explanation) {
	t.Helper()
	out := lbctl(t, l, append([]string{"explain", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return e
}

// flowLines are the flows, but for how long they are silent.
func flowLines(t *testing.T, l *lab.Lab) string {
	t.Helper()
	return regexp.MustCompile(`"idle":\d+`).ReplaceAllString(lbctl(t, l, "flows", "-o", "json"), "")
}
