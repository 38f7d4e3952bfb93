package main

import (
	"testing"

	"github.com/tarpon-lb/tarpon/control/api"
)

func TestExplanationText(t *testing.T) {
	same(t, `
packet    tcp 203.0.113.5:40000 > 192.0.2.100:80, flags S, ttl 64
result    dropped (drop_needs_full_nat): the client is on the real's own
          network: the real would answer it directly, past this router
`, explanationText(api.Explanation{Steps: []api.Step{
		{Name: "packet", Text: "tcp 203.0.113.5:40000 > 192.0.2.100:80, flags S, ttl 64"},
		{Name: "result", Text: "dropped (drop_needs_full_nat): the client is on the real's own network: the real would answer it directly, past this router"},
	}}))
}
