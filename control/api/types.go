// Package api is what lbctl and tarpond say to each other: JSON over HTTP over a
// unix socket. Its types will be the public API's.
package api

import (
	"strings"
	"time"
)

// Status is how the router does.
type Status struct {
	Version  string `json:"version"`
	Revision int    `json:"revision"`
	// FileEdited: the configuration file is not what runs.
	FileEdited bool `json:"fileEdited"`
	// Router is this one's name in a pair, and Role active or standby; empty: it is alone.
	Router string `json:"router,omitempty"`
	Role   string `json:"role,omitempty"`
	// Problems are reasons to look closer; none: all is well.
	Problems []string `json:"problems"`
	// Decisions of operators that stand: drains, and what is disabled.
	Decisions []Decision `json:"decisions,omitempty"`
	Legs      []Leg      `json:"legs"`
	Flows     Capacity   `json:"flows"`
	Vips      int        `json:"vips"`
	Reals     int        `json:"reals"`
	RealsUp   int        `json:"realsUp"`
	Checks    Checks     `json:"checks"`
	Started   time.Time  `json:"started"`
}

// Checks counts probes of reals since the start.
type Checks struct {
	Done   uint64 `json:"done"`
	Failed uint64 `json:"failed"` // of those done
}

// A Decision is an operator's, for the time being: it is not configuration.
type Decision struct {
	Vip    string    `json:"vip"`
	Real   string    `json:"real,omitempty"`
	State  string    `json:"state"` // drained, disabled
	Author string    `json:"author"`
	Since  time.Time `json:"since"`
	// Deadline of a drain: flows that are left then are reset.
	Deadline  time.Time `json:"deadline,omitzero"`
	FlowsLeft int       `json:"flowsLeft"` // now
}

// Operated says what a decision did.
type Operated struct {
	// Changed is false if all was so already.
	Changed   bool   `json:"changed"`
	Message   string `json:"message"`
	FlowsLeft int    `json:"flowsLeft"` // as it was made
}

// A Leg is an interface with the programs on it.
type Leg struct {
	Name      string `json:"name"`
	Interface string `json:"interface"`
	Role      string `json:"role"` // outside, inside, both
	Mode      string `json:"mode"` // native, tc, generic; empty: not attached
	// Configured is the mode that was asked for: as Mode, or auto.
	Configured string `json:"configured"`
	// Reason says why the mode is not native, or not for all packets, or why nothing is attached.
	Reason string `json:"reason,omitempty"`
	Up     bool   `json:"up"`
}

// Capacity is how full the flow tables are, as of the last sweep.
type Capacity struct {
	IPv4  Table `json:"ipv4"`
	IPv6  Table `json:"ipv6"`
	Bytes int   `json:"bytes"`
	// Since the tables were made: residents moved and ended for new flows, and
	// flows that found no slot.
	Moved   uint64 `json:"moved"`
	Evicted uint64 `json:"evicted"`
	Full    uint64 `json:"full"`
}

// A Table is one family's.
type Table struct {
	Flows int `json:"flows"`
	Max   int `json:"max"`
	Slots int `json:"slots"`
}

// A Vip is a virtual server and how it does.
type Vip struct {
	Vip       string `json:"vip"` // ADDRESS:PORT/PROTOCOL
	Name      string `json:"name,omitempty"`
	Enabled   bool   `json:"enabled"`
	Leg       string `json:"leg"`
	Scheduler string `json:"scheduler"`
	Check     string `json:"check"`
	OnFail    string `json:"onFail"`
	WhenEmpty string `json:"whenEmpty"`
	// Decisions about the vip itself.
	Decisions []Decision `json:"decisions,omitempty"`
	Reals     []Real     `json:"reals"`
}

// A Real is a real server of a vip and how it does.
type Real struct {
	Real    string `json:"real"`
	Name    string `json:"name,omitempty"`
	Weight  int    `json:"weight"`
	Enabled bool   `json:"enabled"`
	// State is up, down, unchecked (no check: believed up), or disabled.
	State string `json:"state"`
	// Checked: a probe has answered since the daemon started.
	Checked bool      `json:"checked"`
	Since   time.Time `json:"since,omitzero"`
	Error   string    `json:"error,omitempty"`
	NextHop string    `json:"nextHop,omitempty"` // why the FIB is asked, if it is
	// Decisions about the real.
	Decisions []Decision `json:"decisions,omitempty"`
	// Active flows are established; inactive ones are all others.
	Active   int     `json:"active"`
	Inactive int     `json:"inactive"`
	Traffic  Traffic `json:"traffic"`
	// Zero is what Traffic was when somebody set the counters to 0.
	Zero Traffic `json:"zero,omitzero"`
}

// Traffic counts since the backend was made. Bytes are those of IP packets.
type Traffic struct {
	Connections uint64 `json:"connections"`
	PacketsIn   uint64 `json:"packetsIn"`
	PacketsOut  uint64 `json:"packetsOut"`
	BytesIn     uint64 `json:"bytesIn"`
	BytesOut    uint64 `json:"bytesOut"`
}

// Stats are the router's counters.
type Stats struct {
	Time    time.Time `json:"time"`
	XDP     []Count   `json:"xdp"`
	TC      []Count   `json:"tc"`
	Devices []Device  `json:"devices"`
	// Zero: somebody set the counters to 0; these here go on.
	Zero *Zero `json:"zero,omitempty"`
}

// A Count is a reason and how many packets it had.
type Count struct {
	Name    string `json:"name"`
	Packets uint64 `json:"packets"`
}

// A Device is a leg's interface as the kernel counts.
type Device struct {
	Interface string `json:"interface"`
	RxPackets uint64 `json:"rxPackets"`
	TxPackets uint64 `json:"txPackets"`
	RxBytes   uint64 `json:"rxBytes"`
	TxBytes   uint64 `json:"txBytes"`
	RxDropped uint64 `json:"rxDropped"`
	TxDropped uint64 `json:"txDropped"`
	RxErrors  uint64 `json:"rxErrors"`
	TxErrors  uint64 `json:"txErrors"`
}

// An Event is something that happened.
type Event struct {
	// Sequence numbers a daemon's events, from 1.
	Sequence uint64            `json:"sequence"`
	Time     time.Time         `json:"time"`
	Kind     string            `json:"kind"` // one of control/event's
	Message  string            `json:"message"`
	Fields   map[string]string `json:"fields,omitempty"`
}

// A Flow is one entry of the flow table.
type Flow struct {
	Protocol string `json:"protocol"`
	Client   string `json:"client"`
	Vip      string `json:"vip"` // ADDRESS:PORT as the client sees it
	Real     string `json:"real"`
	State    string `json:"state"`
	Idle     int    `json:"idle"` // seconds
}

// A FlowFilter says which flows are wanted; empty fields match all.
type FlowFilter struct {
	Vip    string // name or endpoint
	Real   string // address, with or without port
	Client string // address or prefix
	State  string
}

// Options of a change.
type Options struct {
	DryRun     bool `json:"dryRun,omitempty"`
	IfRevision int  `json:"ifRevision,omitempty"` // 0: whatever it is
	// IfExists: deleting what is not there is no fault.
	IfExists bool `json:"ifExists,omitempty"`
	// File is what the caller calls a configuration that it sends.
	File string `json:"file,omitempty"`
	// Alone: on this router of a pair only, if the other one cannot be asked.
	Alone bool `json:"alone,omitempty"`
	// Force it though that ends service, or cannot be known not to.
	Force bool `json:"force,omitempty"`
	// Confirm: it is rolled back unless it is confirmed within that time. 0: no.
	Confirm time.Duration `json:"confirm,omitempty"`
}

// VipSettings are a vip's keys; nil ones are not touched.
type VipSettings struct {
	Name      *string `json:"name,omitempty"`
	Enabled   *bool   `json:"enabled,omitempty"`
	Leg       *string `json:"leg,omitempty"`
	Scheduler *string `json:"scheduler,omitempty"`
	Check     *string `json:"check,omitempty"` // a name, tcp, none, http:/path or https:/path
	Initial   *string `json:"initial,omitempty"`
	OnFail    *string `json:"onFail,omitempty"`
	WhenEmpty *string `json:"whenEmpty,omitempty"`
	// SharesOwnAddress: also on an address of this router's, where something listens.
	SharesOwnAddress *bool `json:"sharesOwnAddress,omitempty"`
}

// RealSettings are a real's keys; nil ones are not touched.
type RealSettings struct {
	Name    *string `json:"name,omitempty"`
	Weight  *int    `json:"weight,omitempty"`
	Enabled *bool   `json:"enabled,omitempty"`
	Check   *string `json:"check,omitempty"`
}

// NewReal is a real to be added.
type NewReal struct {
	Real string `json:"real"`
	RealSettings
}

// NewVip is a vip to be added with its reals.
type NewVip struct {
	Vip string `json:"vip"`
	VipSettings
	Reals []NewReal `json:"reals,omitempty"`
}

// A Result says what a change did, or with DryRun would do.
type Result struct {
	Revision int `json:"revision"`
	// Changed is false if all was so already.
	Changed bool     `json:"changed"`
	Message string   `json:"message"`
	Changes []Change `json:"changes"`
	// Flows of all vips, and those of them that the change ends or moves: now.
	Flows        int `json:"flows"`
	FlowsTouched int `json:"flowsTouched"`
}

// A Change is one difference between two configurations.
type Change struct {
	Action  string   `json:"action"` // added, removed, changed
	Vip     string   `json:"vip,omitempty"`
	Real    string   `json:"real,omitempty"`
	Subject string   `json:"subject"` // in words
	Details []string `json:"details,omitempty"`
	Text    string   `json:"text"` // all of it in words
	// FlowsTouched by it, now.
	FlowsTouched int `json:"flowsTouched"`
}

// A Revision is a configuration that ran; the last one runs.
type Revision struct {
	Revision int       `json:"revision"`
	SHA256   string    `json:"sha256"`
	Parent   string    `json:"parent,omitempty"` // its SHA-256
	Author   string    `json:"author"`           // "UID NAME", or file: somebody wrote into it
	Router   string    `json:"router,omitempty"` // of a pair: where it was made
	Time     time.Time `json:"time"`
	What     string    `json:"what"`
	// ConfirmBy: it is rolled back then unless it is confirmed.
	ConfirmBy time.Time `json:"confirmBy,omitzero"`
}

// An Error is why something was refused.
type Error struct {
	Code    string `json:"code"` // exists, missing, invalid, conflict, failed
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	// Line and Column are where the first of the Faults is; 0: it is the file as a whole.
	Line   int     `json:"line,omitempty"`
	Column int     `json:"column,omitempty"`
	Remedy string  `json:"remedy,omitempty"`
	Faults []Fault `json:"faults,omitempty"` // of a configuration
}

// A Fault is one error of a configuration.
type Fault struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

func (e *Error) Error() string {
	if e.Remedy != "" && !strings.Contains(e.Message, e.Remedy) {
		return e.Message + ": " + e.Remedy
	}
	return e.Message
}

// Codes of errors.
const (
	CodeExists   = "exists"
	CodeMissing  = "missing"
	CodeInvalid  = "invalid"
	CodeConflict = "conflict"
	CodeFailed   = "failed"
)
