package api

import (
	"context"
	"net/http"
)

// A Packet is one whose way is asked for.
type Packet struct {
	From string `json:"from"`            // ADDRESS[:PORT]
	To   string `json:"to"`              // a vip by name or endpoint, or any ADDRESS:PORT[/PROTOCOL]
	Leg  string `json:"leg,omitempty"`   // where it comes in; empty: where a reply would leave
	TCP  string `json:"flags,omitempty"` // flags of TCP, letters of FSRPA; empty: S
	// Size of the IP packet in bytes; 0: headers only.
	Size     int  `json:"size,omitempty"`
	TTL      int  `json:"ttl,omitempty"` // 0: 64
	Fragment bool `json:"fragment,omitempty"`
}

// Outcomes of a packet.
const (
	Forwarded = "forwarded"
	Answered  = "answered"
	Dropped   = "dropped"
	Passed    = "passed" // to the router's own stack, unchanged
)

// An Explanation is what would become of a packet now, and why. Nothing was changed
// by asking. Fields of steps that it did not come to are empty.
type Explanation struct {
	Packet  string `json:"packet"`
	Outcome string `json:"outcome"`
	// Reason is the counter that it would move; Notes are those of the flow table.
	Reason string   `json:"reason"`
	Notes  []string `json:"notes,omitempty"`

	Leg       string           `json:"leg"`
	Interface string           `json:"interface"`
	Hooks     []string         `json:"hooks"` // xdp, tc; both: XDP hands it over
	Vip       string           `json:"vip,omitempty"`
	Real      string           `json:"real,omitempty"` // that it goes to, or comes from
	Flow      *Flow            `json:"flow,omitempty"` // that it belongs to already
	Schedule  *ExplainSchedule `json:"schedule,omitempty"`
	Route     *ExplainRoute    `json:"route,omitempty"`
	After     string           `json:"after,omitempty"` // the packet that leaves
	Reply     *ExplainReply    `json:"reply,omitempty"`

	// Steps are the same for people, in order. Their wording may change.
	Steps []Step `json:"steps"`
}

// A Step of an explanation.
type Step struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// ExplainSchedule is how a real was chosen.
type ExplainSchedule struct {
	Scheduler string           `json:"scheduler"`
	Place     int              `json:"place"`
	Slots     int              `json:"slots"`
	Usable    int              `json:"usable"` // reals in the schedule
	Reals     int              `json:"reals"`  // of the vip
	Skipped   []ExplainSkipped `json:"skipped,omitempty"`
}

// ExplainSkipped is a real that the schedule had and this client cannot use.
type ExplainSkipped struct {
	Real string `json:"real"`
	Why  string `json:"why"`
}

// ExplainRoute is the way of the packet that leaves.
type ExplainRoute struct {
	Kept      bool   `json:"kept"`          // by a next hop that is kept; else the FIB is asked
	FIB       string `json:"fib,omitempty"` // its answer
	Interface string `json:"interface,omitempty"`
	MAC       string `json:"mac,omitempty"`
	Neighbour string `json:"neighbour,omitempty"` // whose MAC the kernel has to find
}

// ExplainReply is what the answer will look like.
type ExplainReply struct {
	From     string `json:"from"`
	LeavesAs string `json:"leavesAs"`
}

// Explain says what would become of a packet.
func (c *Client) Explain(ctx context.Context, p Packet) (Explanation, error) {
	return call[Explanation](ctx, c, "POST", "/v1/explain", nil, p)
}

func (s *server) explain(r *http.Request) (Explanation, error) {
	packet, err := read[Packet](r)
	if err != nil {
		return Explanation{}, err
	}
	return s.c.Explain(r.Context(), packet)
}
