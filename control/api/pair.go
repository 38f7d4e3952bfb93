package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// A PairController answers what is asked of a router of a pair. Of one that is alone
// Pair says so; all else is refused.
type PairController interface {
	Pair(ctx context.Context) (Pair, error)
	// Switchover moves the service to the other router, whichever that is, and waits
	// for the end.
	Switchover(ctx context.Context, o SwitchoverOptions) (Switchover, error)
	// Hold keeps the roles as they are, Release ends it: on both routers.
	Hold(ctx context.Context) (Operated, error)
	Release(ctx context.Context) (Operated, error)
	// PeerFile has what both routers run.
	PeerFile(ctx context.Context) (PeerFile, error)
	// Adopt ends a conflict with the configuration of one of the routers.
	Adopt(ctx context.Context, router string) (Result, error)
	// Leave makes this router one that is alone, Join the second of a pair whose
	// configuration it is given.
	Leave(ctx context.Context, o Options) (Result, error)
	Join(ctx context.Context, file []byte, o Options) (Result, error)
}

// A Pair is what a router knows of itself and of the other one.
type Pair struct {
	// Paired is false for a router alone: the rest says nothing then.
	Paired bool `json:"paired"`
	// Problems are reasons to look closer; none: all is well.
	Problems []string `json:"problems"`
	// Foreign: the other router is no Tarpon. Nothing but the election is shared with
	// it: there are no flows, no configuration, and nothing is known of it.
	Foreign bool       `json:"foreign"`
	Own     PairRouter `json:"own"`
	Peer    PairRouter `json:"peer"`
	// WhyNot is why the service is not with the router that does not have it.
	WhyNot string `json:"whyNot"`
	// Hold is the operator's decision that the roles stay, nil: there is none.
	Hold *Hold `json:"hold,omitempty"`
	// Lease is how this router's right to speak for the addresses stands: open (it
	// never ends), holds, or ended.
	Lease      string      `json:"lease"`
	InSync     InSync      `json:"inSync"`
	Heartbeats []Heartbeat `json:"heartbeats"`
	Agreement  Agreement   `json:"agreement"`
	// Transition is the last change of this router's role, nil: there was none since
	// the daemon started.
	Transition *Transition `json:"transition,omitempty"`
	Adverts    Adverts     `json:"adverts"`
	// Services are this router's managed ones, in the order in which they are started.
	Services []Service `json:"services"`
	// HealthDifferences are reals about which the two routers' checks differ.
	HealthDifferences []HealthDifference `json:"healthDifferences"`
	// OtherVRIDs are those of other virtual routers on the same networks.
	OtherVRIDs []OtherVRID `json:"otherVrids"`
}

// A PairRouter is one of the two. Of the other one all is as it said last.
type PairRouter struct {
	Name string `json:"name"`
	Role string `json:"role"` // active, standby; empty: it has not said
	// Since and Why are of the role, and of this router only.
	Since time.Time `json:"since,omitzero"`
	Why   string    `json:"why,omitempty"`
	// Priority is the effective one, Configured without what fails.
	Priority   int `json:"priority"`
	Configured int `json:"configured"`
	// Failing are this router's tracks that do, in words.
	Failing []string `json:"failing,omitempty"`
	// Fault keeps it from being active while the other one could be.
	Fault string `json:"fault,omitempty"`
	Held  bool   `json:"held"`
	// Told is when the other router said all this; zero: never.
	Told time.Time `json:"told,omitzero"`
	// Software is the other one's version.
	Software string `json:"software,omitempty"`
}

// A Service is one that runs where the router is active.
type Service struct {
	Name string `json:"name"`
	// State is running, stopped or failed; between them unknown (not looked at yet),
	// broken (to be started again) or stuck (it did not stop).
	State    string `json:"state"`
	Critical bool   `json:"critical"` // its failure is a fault
	// Failures within the last hour; Restarts is how many of them are mended.
	Failures int    `json:"failures"`
	Restarts int    `json:"restarts"`
	Error    string `json:"error,omitempty"` // of the last failure
}

// A HealthDifference is a real that is up on one router and down on the other. Each
// router goes by its own results.
type HealthDifference struct {
	Vip   string `json:"vip"`
	Real  string `json:"real"`
	Up    string `json:"up"`   // a router's name
	Down  string `json:"down"` // the other's
	Error string `json:"error,omitempty"`
}

// A Hold is an operator's decision that the roles stay as they are.
type Hold struct {
	Author string    `json:"author"`
	Since  time.Time `json:"since"`
}

// InSync says whether the other router has the flows of this one, and of what that is
// made.
type InSync struct {
	Yes bool `json:"yes"`
	// Since is of that answer.
	Since time.Time `json:"since,omitzero"`
	// Facts in their order; each says something only if those before it are so.
	Facts []Fact `json:"facts"`
	// Flows that both should have, and when they were last found equal.
	Flows      int       `json:"flows"`
	ComparedAt time.Time `json:"comparedAt,omitzero"`
	// Lag in seconds of the last batch, from the table to the other's word that it has
	// it; Oldest of what waits for that word now.
	Lag    float64 `json:"lag"`
	Oldest float64 `json:"oldest"`
	// Aside are flows of vips or reals that this router does not know (yet).
	Aside int `json:"aside"`
	// Counts since the daemon started.
	Sent     uint64 `json:"sent"`     // flows told, and ends of flows
	Taken    uint64 `json:"taken"`    // from the other router
	Repaired uint64 `json:"repaired"` // flows that had another real
	Disputed uint64 `json:"disputed"` // flows for which both had packets, and different reals
	Lost     uint64 `json:"lost"`     // flows for which there was no room
}

// A Fact is one that in sync is made of.
type Fact struct {
	Name string `json:"name"` // linked, copied, equal, prompt, sameRevision
	Yes  bool   `json:"yes"`
}

// A Heartbeat is one way to the other router: adverts, and a connection over TLS.
type Heartbeat struct {
	Leg  string `json:"leg"`
	Own  string `json:"own"`
	Peer string `json:"peer"`
	// Heard is when the last advert came; zero: none did. Only an active router
	// advertises.
	Heard time.Time `json:"heard,omitzero"`
	// Priority that it had.
	Priority int `json:"priority,omitempty"`
	// Checksum is how its checksum was made, if that is not by RFC 9568: pseudo-header.
	Checksum string `json:"checksum,omitempty"`
	// Up is the connection, since Since; Error is why it is not.
	Up    bool      `json:"up"`
	Since time.Time `json:"since,omitzero"`
	Error string    `json:"error,omitempty"`
	// Carries: this connection has the data.
	Carries bool `json:"carries"`
}

// An Agreement says how the configurations of the two routers stand.
type Agreement struct {
	// State is same, ahead (the other catches up), behind (this one does), conflict,
	// apart (no connection) or meeting (it has just come up).
	State  string     `json:"state"`
	Own    RevisionID `json:"own"`
	Peer   RevisionID `json:"peer"` // as told last
	Error  string     `json:"error,omitempty"`
	Remedy string     `json:"remedy,omitempty"`
}

// A RevisionID tells a revision from all others on both routers: each may have its own
// of one number.
type RevisionID struct {
	Revision int    `json:"revision"` // 0: not known
	SHA256   string `json:"sha256"`
}

// String is what people are shown: 43 a1b2c3.
func (id RevisionID) String() string {
	if id.Revision == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%d %.6s", id.Revision, id.SHA256)
}

// A Transition is a change of the role.
type Transition struct {
	Role string    `json:"role"` // that it changed to
	Time time.Time `json:"time"`
	Why  string    `json:"why"`
	// Took is how many seconds the addresses took to be added, or removed.
	Took float64 `json:"took"`
	// Silent are neighbours that do not follow, in words.
	Silent []string `json:"silent,omitempty"`
}

// Adverts counts since the daemon started.
type Adverts struct {
	// Interval is between those that this router sends, in seconds.
	Interval float64 `json:"interval"`
	Sent     uint64  `json:"sent"`
	Late     uint64  `json:"late"`   // more than half an interval
	Unsent   uint64  `json:"unsent"` // no link took them
	Received uint64  `json:"received"`
	Ignored  uint64  `json:"ignored"`  // from a stranger, or not as agreed
	Unproven uint64  `json:"unproven"` // that the other router did not say over TLS
	// PseudoHeader: of those received, with a checksum as keepalived and FRR make it.
	PseudoHeader uint64 `json:"pseudo_header"`
	// Transitions of the role.
	Transitions uint64 `json:"transitions"`
}

// An OtherVRID is another virtual router: nothing wrong with that.
type OtherVRID struct {
	VRID      int       `json:"vrid"`
	Interface string    `json:"interface"`
	From      string    `json:"from"`
	Heard     time.Time `json:"heard"`
}

// SwitchoverOptions of Switchover.
type SwitchoverOptions struct {
	// Force it though the flows are not all there, or the roles are held.
	Force bool
	Why   string // for events; may be empty
}

// A Switchover says what has become of one.
type Switchover struct {
	Active  string  `json:"active"` // the router that has the service
	Took    float64 `json:"took"`   // seconds
	Message string  `json:"message"`
}

// A PeerFile is what the two routers run.
type PeerFile struct {
	Router   string     `json:"router"` // this one
	Own      RevisionID `json:"own"`
	File     string     `json:"file"`
	Peer     string     `json:"peer"`
	Theirs   RevisionID `json:"theirs"`
	PeerFile string     `json:"peerFile"`
}

// Pair is what the router knows of itself and the other one.
func (c *Client) Pair(ctx context.Context) (Pair, error) {
	return call[Pair](ctx, c, "GET", "/v1/pair", nil, nil)
}

// Switchover moves the service to the other router, and returns when it is there.
func (c *Client) Switchover(ctx context.Context, o SwitchoverOptions) (Switchover, error) {
	q := url.Values{"why": {o.Why}, "force": {strconv.FormatBool(o.Force)}}
	return call[Switchover](ctx, c, "POST", "/v1/pair/switchover", q, nil)
}

// Hold keeps the roles as they are.
func (c *Client) Hold(ctx context.Context) (Operated, error) {
	return call[Operated](ctx, c, "POST", "/v1/pair/hold", nil, nil)
}

// Release ends Hold.
func (c *Client) Release(ctx context.Context) (Operated, error) {
	return call[Operated](ctx, c, "POST", "/v1/pair/release", nil, nil)
}

// PeerFile has what both routers run.
func (c *Client) PeerFile(ctx context.Context) (PeerFile, error) {
	return call[PeerFile](ctx, c, "GET", "/v1/pair/files", nil, nil)
}

// Adopt ends a conflict with the configuration of one of the routers.
func (c *Client) Adopt(ctx context.Context, router string) (Result, error) {
	return call[Result](ctx, c, "POST", "/v1/pair/adopt", url.Values{"router": {router}}, nil)
}

// Leave makes this router one that is alone.
func (c *Client) Leave(ctx context.Context, o Options) (Result, error) {
	return call[Result](ctx, c, "POST", "/v1/pair/leave", o.query(), nil)
}

// Join makes this router the second of a pair, with the first one's configuration.
func (c *Client) Join(ctx context.Context, file []byte, o Options) (Result, error) {
	return call[Result](ctx, c, "POST", "/v1/pair/join", o.query(), file)
}

// pairRoutes are those of a PairController.
func (s *server) pairRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/pair", answer(func(r *http.Request) (Pair, error) { return s.c.Pair(r.Context()) }))
	mux.HandleFunc("POST /v1/pair/switchover", answer(s.switchover))
	mux.HandleFunc("POST /v1/pair/hold", answer(func(r *http.Request) (Operated, error) { return s.c.Hold(r.Context()) }))
	mux.HandleFunc("POST /v1/pair/release", answer(func(r *http.Request) (Operated, error) { return s.c.Release(r.Context()) }))
	mux.HandleFunc("GET /v1/pair/files", answer(func(r *http.Request) (PeerFile, error) { return s.c.PeerFile(r.Context()) }))
	mux.HandleFunc("POST /v1/pair/adopt", answer(func(r *http.Request) (Result, error) {
		return s.c.Adopt(r.Context(), r.URL.Query().Get("router"))
	}))
	mux.HandleFunc("POST /v1/pair/leave", answer(change(func(r *http.Request, o Options) (Result, error) { return s.c.Leave(r.Context(), o) })))
	mux.HandleFunc("POST /v1/pair/join", answer(change(s.join)))
}

func (s *server) switchover(r *http.Request) (Switchover, error) {
	o := SwitchoverOptions{Why: r.URL.Query().Get("why")}
	var err error
	if o.Force, err = flag(r, "force"); err != nil {
		return Switchover{}, err
	}
	return s.c.Switchover(r.Context(), o)
}

func (s *server) join(r *http.Request, o Options) (Result, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return Result{}, notUnderstood(err)
	}
	return s.c.Join(r.Context(), data, o)
}

// flag is one of the query; absent: no.
func flag(r *http.Request, name string) (yes bool, err error) {
	if text := r.URL.Query().Get(name); text != "" {
		if yes, err = strconv.ParseBool(text); err != nil {
			err = notUnderstood(fmt.Errorf("%s: %w", name, err))
		}
	}
	return yes, err
}
