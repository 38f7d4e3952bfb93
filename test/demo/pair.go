package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// pair has a second router join, the first one fail and come back, while clients talk.
func pair(l *lab.Lab) error {
	say("11. A second router joins, for when the first one fails")
	fmt.Print(`
                   /-- wan [ lb1 active  ] lan --\
    client -------<            hb | flows         >------- real1, real2, real3
                   \-- wan [ lb2 standby ] lan --/
`)
	load, err := talk(l)
	if err != nil {
		return err
	}
	fmt.Println()
	note("%d TCP connections talk through lb1, and a UDP stream: a packet every %s.", connections, pause)
	if err := join(l); err != nil {
		return err
	}
	say("12. lb1 is unplugged")
	if err := unplug(l); err != nil {
		return err
	}
	if err := load.report(); err != nil {
		return err
	}
	say("13. lb1 boots: it leaves the service where it is, and stands in for lb2 now")
	if err := l.PowerOn(); err != nil {
		return err
	}
	if err := lab.Wait(30*time.Second, func() error { return whole(l.Other, l.Router) }); err != nil {
		return err
	}
	return run(l.Other, "pair", "status")
}

// join is what docs/pair.md says.
func join(l *lab.Lab) error {
	if err := initPair(l); err != nil {
		return err
	}
	file, err := l.MustLbctl("export")
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.Other.Config(), []byte(file), 0o644); err != nil {
		return err
	}
	fmt.Println()
	note("lb1's configuration is copied to lb2, and tarpond started there.")
	if err := l.Other.StartDaemon(); err != nil {
		return err
	}
	err = lab.Wait(30*time.Second, func() error { return errors.Join(whole(l.Router, l.Other), replicated(l)) })
	if err != nil {
		return err
	}
	note("It has the flows. And a change on either router is one on both:")
	return run(l.Other, "edit-real", "shop", l.Real4(3), "--weight", "1")
}

// initPair shows a command with short pins, and runs it with whole ones.
func initPair(l *lab.Lab) error {
	args := []string{"pair", "init", "--vrid", "77", "--leg", "hb=hb"}
	shown := slices.Clone(args)
	for i, r := range l.Routers() {
		own := fmt.Sprintf("%s wan=192.0.2.%d lan=10.0.0.%[2]d,2001:db8:2::%[2]d hb=172.31.0.%[2]d key=", r.Host, i+1)
		args = append(args, strings.Fields(own+r.Pin())...)
		shown = append(shown, strings.Fields(own+r.Pin()[:len("sha256:")+6]+"...")...)
	}
	typed(l.Router, shown...)
	out, err := l.MustLbctl(args...)
	fmt.Print(out)
	return err
}

// whole is an error unless two routers are a pair in which all is well.
func whole(active, standby *lab.Router) error {
	for role, r := range map[string]*lab.Router{"active": active, "standby": standby} {
		p, err := r.PairStatus()
		if err != nil {
			return err
		}
		if p.Own.Role != role || !p.InSync.Yes || len(p.Problems) > 0 {
			return fmt.Errorf("%s is %s, not %s; %s", r.Host, p.Own.Role, role, strings.Join(p.Problems, "; "))
		}
		s, err := r.Status()
		if err != nil {
			return err
		}
		if s.RealsUp < s.Reals {
			return fmt.Errorf("%s has %d of %d reals", r.Host, s.RealsUp, s.Reals)
		}
	}
	return nil
}

const connections = 100

// echo is the vip whose reals send back what they get.
func echo() netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(lab.Vip4(2)), 7) }

// unplug takes the active router away, as a power cut does.
func unplug(l *lab.Lab) error {
	if err := l.PowerOff(); err != nil {
		return err
	}
	note("It is off all networks in one instant, and its daemon is no more.")
	if err := lab.Wait(10*time.Second, func() error { return active(l.Other) }); err != nil {
		return err
	}
	p, err := l.Other.PairStatus()
	if err != nil {
		return err
	}
	note("%s is %s now: %s for three adverts (200 ms each) and a bit.", p.Own.Name, p.Own.Role, p.Own.Why)
	return nil
}

// replicated is an error until the standby has the flows of all connections.
func replicated(l *lab.Lab) error {
	out, err := l.Other.MustLbctl("flows", "--vip", "echo", "-o", "json")
	if got := strings.Count(out, `"established"`); err == nil && got < connections {
		err = fmt.Errorf("lb2 has the flows of %d connections", got)
	}
	return err
}

func active(r *lab.Router) error {
	s, err := r.Status()
	if err == nil && s.Role != "active" {
		err = errors.New(r.Host + " is not active")
	}
	return err
}
