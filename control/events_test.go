package control

import (
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/host"
)

// A sysctl that somebody sets back again and again is told once, and again when it is set
// back to something else, or was left alone for long.
func TestSysctlNews(t *testing.T) {
	change := func(old string) host.SysctlChange {
		return host.SysctlChange{Name: "net.ipv4.conf.wan.forwarding", Old: old, New: "1"}
	}
	other := host.SysctlChange{Name: "net.ipv4.conf.lan.forwarding", Old: "0", New: "1"}
	s, now := sysctlsSet{}, time.Now()
	for i, step := range []struct {
		after  time.Duration
		change host.SysctlChange
		news   bool
	}{
		{0, change("0"), true},
		{10 * time.Second, change("0"), false},
		{59 * time.Minute, change("0"), false},
		{59 * time.Minute, change("0"), false}, // of the last one
		{10 * time.Second, other, true},
		{10 * time.Second, change("2"), true},
		{10 * time.Second, change("0"), true},
		{time.Hour, change("0"), true},
	} {
		now = now.Add(step.after)
		if news := s.isNews(step.change, now); news != step.news {
			t.Errorf("step %d: %s: news %v, want %v", i, step.change, news, step.news)
		}
	}
}
