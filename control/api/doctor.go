package api

import (
	"context"
	"net/http"
)

// Severities of a finding. A note needs nothing to be done.
const (
	SeverityFault   = "fault"   // traffic is lost
	SeverityWarning = "warning" // it works, but not as it should
	SeverityNote    = "note"    // good to know
)

// A Finding is something that a look at the whole router brought to light.
type Finding struct {
	Severity string `json:"severity"`
	// Kind names the finding for programs.
	Kind   string `json:"kind"`
	What   string `json:"what"`
	Where  string `json:"where"`
	Remedy string `json:"remedy,omitempty"`
}

// Findings looks at the whole router. It sends a probe for each vip and floating
// address, and changes nothing.
func (c *Client) Findings(ctx context.Context) ([]Finding, error) {
	return call[[]Finding](ctx, c, "GET", "/v1/doctor", nil, nil)
}

func (s *server) findings(r *http.Request) ([]Finding, error) { return s.c.Findings(r.Context()) }
