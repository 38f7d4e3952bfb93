package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/count"
)

// pairText is what an operator wants to know of a pair: what is wrong, who is active and
// why, whether the other one could be, and how the two hear of each other.
func pairText(p api.Pair, now time.Time) string {
	if !p.Paired {
		return "this router is alone: nobody stands in for it (lbctl pair init makes a pair)\n"
	}
	w := pairWriter{now: now}
	for _, problem := range p.Problems {
		w.hanging("PROBLEM: ", problem)
	}
	if len(p.Problems) == 0 {
		w.line("all is well")
	}
	w.router(p.Own, fmt.Sprintf("%s%s", p.Own.Role, w.since(p.Own.Since)), "because: ", p.Own.Why)
	if p.Own.Role == "standby" && p.WhyNot != p.Own.Why {
		w.detail("", "not active: "+p.WhyNot)
	}
	w.detail("", "lease "+p.Lease)
	w.peer(p)
	if p.Hold != nil {
		w.hanging("", fmt.Sprintf("the roles are held (%s, %s): lbctl pair release ends it", p.Hold.Author, p.Hold.Since.Local().Format("2006-01-02 15:04")))
	}
	if !p.Foreign {
		w.sync(p.InSync)
	}
	w.heartbeats(p)
	w.services(p.Services)
	w.health(p)
	w.rest(p)
	return w.String()
}

type pairWriter struct {
	strings.Builder
	now time.Time
}

func (w *pairWriter) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

func (w *pairWriter) hanging(mark, text string) { w.WriteString(hanging(mark, text)) }

func (w *pairWriter) detail(label, text string) { w.hanging("    "+label, text) }

// ago is how long it has been, in a word.
func (w *pairWriter) ago(at time.Time) string {
	d := max(w.now.Sub(at), 0)
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func (w *pairWriter) since(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf(" since %s (%s)", at.Local().Format(time.DateTime), w.ago(at))
}

func (w *pairWriter) router(r api.PairRouter, state, label, why string) {
	w.line("")
	w.hanging(r.Name+": ", state)
	if why != "" {
		w.detail(label, why)
	}
	priority := fmt.Sprintf("priority %d", r.Priority)
	if r.Priority != r.Configured {
		priority += fmt.Sprintf(" of %d", r.Configured)
	}
	w.detail("", priority)
	for _, failing := range r.Failing {
		w.detail("fails: ", failing)
	}
	if r.Fault != "" {
		w.detail("fault: ", r.Fault)
	}
}

func (w *pairWriter) peer(p api.Pair) {
	state := cmp.Or(p.Peer.Role, "unknown")
	switch {
	case p.Foreign:
		state = "no Tarpon (peer: vrrp): no flows and no configuration are shared with it"
	case p.Peer.Told.IsZero():
		state = "unknown: it has not been heard since tarpond started here"
	default:
		state += fmt.Sprintf(", said %s ago", w.ago(p.Peer.Told))
	}
	if p.Peer.Told.IsZero() {
		w.line("")
		w.hanging(p.Peer.Name+": ", state)
	} else {
		w.router(p.Peer, state, "", "")
	}
	if p.Own.Role == "active" {
		w.detail("", "not active: "+p.WhyNot)
	}
}

// factTexts are what the facts of in sync mean.
var factTexts = map[string]string{
	"linked":       "the other router hears this one",
	"copied":       "all flows that there were are copied",
	"equal":        "the flow tables are equal",
	"prompt":       "nothing waits to be confirmed for longer than 1 s",
	"sameRevision": "both have one configuration",
}

func (w *pairWriter) sync(s api.InSync) {
	w.line("\nin sync: %s%s", yesNo(s.Yes), w.since(s.Since))
	for _, f := range s.Facts {
		text := cmp.Or(factTexts[f.Name], f.Name)
		if f.Name == "equal" && !s.ComparedAt.IsZero() {
			text += fmt.Sprintf(": %s, %s ago", count.Of(s.Flows, "flow"), w.ago(s.ComparedAt))
		}
		w.line("    %-4s %s", yesNo(f.Yes), text)
	}
	w.detail("", fmt.Sprintf("lag %s, the oldest unconfirmed %s; %d updates sent, %d taken", seconds(s.Lag), seconds(s.Oldest), s.Sent, s.Taken))
	w.detail("", fmt.Sprintf("%s repaired, %d disputed, %d lost, %d of unknown vips", count.Of(s.Repaired, "flow"), s.Disputed, s.Lost, s.Aside))
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

func (w *pairWriter) heartbeats(p api.Pair) {
	w.line("\n%-8s %-26s %-14s %s", "Leg", "Other's address", "Last advert", "Connection")
	for _, h := range p.Heartbeats {
		heard, connection := "never", "down"
		if !h.Heard.IsZero() {
			heard = fmt.Sprintf("%s ago", w.ago(h.Heard))
		}
		if h.Up {
			connection = "up"
		}
		if !h.Since.IsZero() {
			connection += " " + w.ago(h.Since)
		}
		if h.Carries {
			connection += ", has the data"
		}
		if p.Foreign {
			connection = "-"
		}
		w.WriteString(row(row(h.Leg, 9, h.Peer), 36, fmt.Sprintf("%-14s %s", heard, connection)))
		if h.Checksum != "" {
			w.hanging("         ", "checksum of its adverts: "+h.Checksum)
		}
		if h.Error != "" {
			w.hanging("         ", h.Error)
		}
	}
	a := p.Adverts
	text := fmt.Sprintf("%d sent, %d late, %d unsent; %d heard, %d ignored, %d unproven", a.Sent, a.Late, a.Unsent, a.Received, a.Ignored, a.Unproven)
	if a.PseudoHeader > 0 {
		text += fmt.Sprintf("; %d of those heard with a pseudo-header in their checksum", a.PseudoHeader)
	}
	w.hanging("adverts: ", text)
}

// services are in the order in which they are started.
func (w *pairWriter) services(list []api.Service) {
	if len(list) == 0 {
		return
	}
	w.line("\nservices, in the order of their start:")
	for _, s := range list {
		text := s.Name
		if s.Critical {
			text += ", critical"
		}
		if s.Failures > 0 {
			text += fmt.Sprintf(", %d of %d restarts within an hour", min(s.Failures, s.Restarts), s.Restarts)
		}
		if s.Error != "" {
			text += ": " + s.Error
		}
		w.hanging(fmt.Sprintf("    %-8s ", s.State), text)
	}
}

// health is where the routers' own checks differ.
func (w *pairWriter) health(p api.Pair) {
	if len(p.HealthDifferences) == 0 {
		return
	}
	w.line("\nthe routers' checks differ, and each goes by its own:")
	for _, d := range p.HealthDifferences {
		text := fmt.Sprintf("%s of %s: up on %s, down on %s", d.Real, d.Vip, d.Up, d.Down)
		if d.Error != "" {
			text += " (" + d.Error + ")"
		}
		w.detail("", text)
	}
}

func (w *pairWriter) rest(p api.Pair) {
	if a := p.Agreement; !p.Foreign {
		w.line("")
		w.hanging("configuration: ", fmt.Sprintf("%s: %s here, %s on %s", a.State, a.Own, a.Peer, p.Peer.Name))
		if a.Error != "" {
			w.detail("refused: ", a.Error)
		}
		if a.Remedy != "" {
			w.detail("-> ", a.Remedy)
		}
	}
	if t := p.Transition; t != nil {
		w.hanging("last change: ", fmt.Sprintf("%s at %s, the addresses took %s: %s", t.Role, t.Time.Local().Format(time.DateTime), seconds(t.Took), t.Why))
		for _, silent := range t.Silent {
			w.detail("", silent)
		}
	}
	for _, o := range p.OtherVRIDs {
		w.hanging("other VRID: ", fmt.Sprintf("%d by %s on %s, %s ago", o.VRID, o.From, o.Interface, w.ago(o.Heard)))
	}
}
