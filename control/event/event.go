// Package event keeps what happens to a router. Whoever tells an event writes a line
// of the log and an entry that others can read: the last thousand, and those to come.
package event

import (
	"fmt"
	"strings"

	"github.com/tarpon-lb/tarpon/control/api"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A Kind says what happened, in a word that programs may rely on.
type Kind string

// The kinds of events.
const (
	Started Kind = "started"
	Stopped Kind = "stopped"
	Failed  Kind = "failed" // something that the daemon had to do

	RealUp   Kind = "real_up"
	RealDown Kind = "real_down"

	Revision  Kind = "revision" // another configuration runs
	Confirmed Kind = "revision_confirmed"
	Decided   Kind = "decided" // by an operator, for the time being
	Zeroed    Kind = "counters_zeroed"

	LegAttached   Kind = "leg_attached" // with the mode that was chosen
	InterfaceUp   Kind = "interface_up"
	InterfaceDown Kind = "interface_down"

	AddressAdded   Kind = "address_added"
	AddressRemoved Kind = "address_removed"
	AddressLost    Kind = "address_lost"    // somebody else removed it
	AddressForeign Kind = "address_foreign" // wanted, and not made by us
	SysctlSet      Kind = "sysctl_set"      // at a start, or after somebody else did
	OffloadsOff    Kind = "offloads_off"
	OffloadsStay   Kind = "offloads_stay" // the driver refuses
	OffloadOn      Kind = "offload_on"    // restored

	Repaired Kind = "repaired" // in the kernel, what somebody else changed

	NextHopLost  Kind = "next_hop_lost" // the FIB is asked
	NextHopFound Kind = "next_hop_found"
	Network      Kind = "network" // trouble with reading what it is like

	FlowsNearMaximum Kind = "flows_near_maximum"
	InsertsFailed    Kind = "inserts_failed"
	VipsRemoved      Kind = "vips_removed" // with their flows

	PairActive       Kind = "active" // this router of a pair is
	PairStandby      Kind = "standby"
	PairFault        Kind = "fault"
	PairTrack        Kind = "track"
	PairSync         Kind = "in_sync" // or no longer
	SplitBrain       Kind = "split_brain"
	SplitMended      Kind = "split_brain_mended" // what it came to
	NeighbourSilent  Kind = "neighbour_silent"   // does not answer to an address that moved
	NeighbourFollows Kind = "neighbour_follows"
	AddressConflict  Kind = "address_conflict"
	Link             Kind = "link" // to the other router
	LinkStranger     Kind = "link_stranger"
	LinkRefused      Kind = "link_refused" // the other router speaks another protocol
	HookEnded        Kind = "hook_ended"
	HookFailed       Kind = "hook_failed"

	// Lost stands for events that a reader was too slow for.
	Lost Kind = "lost"
)

// Info tells an event.
func (l *Log) Info(kind Kind, message string, fields ...zap.Field) {
	l.tell(zap.InfoLevel, kind, message, fields)
}

// Warn tells an event that somebody should look at.
func (l *Log) Warn(kind Kind, message string, fields ...zap.Field) {
	l.tell(zap.WarnLevel, kind, message, fields)
}

// Seldom is Warn for what may go on: the same message is told once an hour.
func (l *Log) Seldom(kind Kind, message string, fields ...zap.Field) {
	l.seldom(zap.WarnLevel, kind, message, fields)
}

// Fail tells an error, if it is one; the same once an hour.
func (l *Log) Fail(what string, err error) {
	if err != nil {
		l.seldom(zap.ErrorLevel, Failed, what+": "+err.Error(), nil)
	}
}

func (l *Log) seldom(level zapcore.Level, kind Kind, message string, fields []zap.Field) {
	if l.hasLately(kind, message) {
		level = zap.DebugLevel
	}
	l.tell(level, kind, message, fields)
}

// tell writes the log's line and, unless it is for who debugs alone, keeps the event.
func (l *Log) tell(level zapcore.Level, kind Kind, message string, fields []zap.Field) {
	l.log.Log(level, message, fields...)
	if level > zap.DebugLevel {
		l.keep(api.Event{Kind: string(kind), Message: message, Fields: texts(fields)})
	}
}

// texts are fields as the log writes them, the empty ones left out.
func texts(fields []zap.Field) map[string]string {
	encoder := zapcore.NewMapObjectEncoder()
	for _, field := range fields {
		field.AddTo(encoder)
	}
	texts := map[string]string{}
	for key, value := range encoder.Fields {
		if text := text(value); text != "" {
			texts[key] = text
		}
	}
	return texts
}

func text(value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	var items []string
	for _, item := range list {
		items = append(items, fmt.Sprint(item))
	}
	return strings.Join(items, ", ")
}
