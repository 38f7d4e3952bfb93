package main

import (
	"context"
	"testing"

	"github.com/tarpon-lb/tarpon/control/api"
)

func (r *router) Findings(context.Context) ([]api.Finding, error) { return r.findings, r.err }

func TestDoctor(t *testing.T) {
	note := api.Finding{Severity: api.SeverityNote, Kind: "mode", Where: "leg wan (eth0)", What: "mode tc, not native: the configuration says so"}
	fault := api.Finding{
		Severity: api.SeverityFault, Kind: "no_replies", Where: "10.0.0.13:80 of vip 192.0.2.100:80/tcp",
		What:   "3 flows wait for an answer, and never did one come back through this router",
		Remedy: "make this router the real's default gateway: ip route replace default via 10.0.0.254; then see its firewall",
	}
	for _, test := range []struct {
		findings []api.Finding
		code     int
		text     string
	}{
		{[]api.Finding{}, 0, "all is well\n"},
		{[]api.Finding{note}, 0, `
note      leg wan (eth0): mode tc, not native: the configuration says so
all is well
`},
		{[]api.Finding{fault, note}, exitRefused, `
FAULT     10.0.0.13:80 of vip 192.0.2.100:80/tcp: 3 flows wait for an answer,
          and never did one come back through this router
      ->  make this router the real's default gateway: ip route replace default
          via 10.0.0.254; then see its firewall
note      leg wan (eth0): mode tc, not native: the configuration says so
`},
	} {
		code, stdout, stderr := (&router{findings: test.findings}).lbctl(t, "doctor")
		if code != test.code || stderr != "" {
			t.Errorf("exit code %d, want %d; %s", code, test.code, stderr)
		}
		same(t, test.text, stdout)
	}
}
