package failover

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// A Load is the traffic during a run.
type Load struct {
	Interval    time.Duration // of the streams; 0: 1 ms
	Connections int
	Every       time.Duration // connections' messages; 0: 200 ms
}

// A Result is what a run came to.
type Result struct {
	Heard
	// OneActive is from the end of the event until one router had all the addresses.
	OneActive time.Duration
	Moved     bool // to the other router
	All       Tally
	Young     Tally // connections that were opened less than 100 ms before the event
	Excused   Tally // of All, those that the scenario may break
	Note      string
	Err       error // what was not as expected
}

// progress is how long connections may take to go on, from the end of the event. It is
// over when one router is active, if the scenario has no bar on the time until then.
const progress = 5 * time.Second

// Run has a scenario happen under load, and mends what it broke.
func (r *Rig) Run(s Scenario, load Load) (Result, error) {
	if load.Interval == 0 {
		load.Interval = interval
	}
	if load.Every == 0 {
		load.Every = 200 * time.Millisecond
	}
	if err := r.Settle(); err != nil {
		return Result{}, fmt.Errorf("before it: %w", err)
	}
	active, err := r.Active()
	if err != nil {
		return Result{}, err
	}
	result, err := r.happen(s, load, active)
	if err != nil {
		return result, err
	}
	if s.After != nil {
		if err := s.After(r, active); err != nil {
			return result, fmt.Errorf("after it: %w", err)
		}
	}
	if err := r.Settle(); err != nil {
		return result, fmt.Errorf("after it: %w", err)
	}
	return result, nil
}

// happen is the event with its traffic.
func (r *Rig) happen(s Scenario, load Load, active *lab.Router) (result Result, err error) {
	streams, err := StartStreams(r.Lab, r.clients, r.Vips(), load.Interval)
	if err != nil {
		return result, err
	}
	defer streams.close()
	connections, err := DialAll(r.Lab, r.clients, r.Vips(), load.Connections, load.Every)
	if err != nil {
		return result, err
	}
	defer connections.Close()
	if err := errors.Join(streams.Ready(), connections.ready(), r.caughtUp(active, connections, streams)); err != nil {
		return result, err
	}
	young, err := DialAll(r.Lab, r.clients, r.Vips(), load.Connections/250, load.Every)
	if err != nil {
		return result, err
	}
	defer young.Close()

	r.note = ""
	if err := s.Event(r, active); err != nil {
		return result, err
	}
	result.Note = r.note
	end, begun := Now(), time.Now()
	var now *lab.Router
	result.Err = lab.Wait(20*time.Second, func() (err error) {
		if now, err = r.Active(); err == nil && s.Moves && now == active {
			err = errors.New("the other router does not take over")
		}
		return err
	})
	result.OneActive, result.Moved = time.Since(begun), now != active
	if s.Loose {
		end = Now() // what starts, or boots, has its time
	}
	service := make(chan error, 1)
	if result.Err == nil {
		go func() { service <- errors.Join(streams.AwaitAll(), r.OneAnswers()) }()
	} else {
		service <- nil
	}
	back := end + load.Every // an answer that was under way at the end shows nothing
	connections.goOn(back, end+progress)
	result.All, result.Young = connections.Since(back), young.Since(back)
	if s.Breaks != nil {
		result.Excused = connections.Of(back, s.Breaks)
	}
	result.Err = errors.Join(result.Err, <-service)
	result.Heard = streams.Stop()
	result.Err = errors.Join(result.Err, s.judge(result))
	return result, nil
}

// goOn waits until all were answered since a time of Now, and then for what comes late; no
// longer than until another such time.
func (c *Connections) goOn(since, until time.Duration) {
	const late = time.Second
	_ = lab.Wait(until-late-Now(), func() error {
		if c.Since(since).Stalled > 0 {
			return errors.New("not yet")
		}
		return nil
	})
	time.Sleep(late)
}

// ready waits until all were answered.
func (c *Connections) ready() error {
	return lab.Wait(30*time.Second, func() error {
		if t := c.Since(1); t.Kept() != t.All {
			return fmt.Errorf("%d of %d connections were answered", t.Kept(), t.All)
		}
		return nil
	})
}

// judge says what of a result was not to be.
func (s Scenario) judge(r Result) error {
	var errs []error
	expect := func(good bool, format string, args ...any) {
		if !good {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	t := r.All
	bad := func(all, excused int) int { return all - excused }
	expect(r.Wrong == 0, "expected the bytes that were sent, came %d packets with others", r.Wrong)
	expect(t.Garbled == 0, "expected the bytes that were sent, came others on %d connections", t.Garbled)
	expect(bad(t.Reset, r.Excused.Reset) == 0, "expected no RST, %d of %d connections had one", t.Reset, t.All)
	expect(bad(t.Closed, r.Excused.Closed) == 0, "expected no EOF, %d of %d connections had one", t.Closed, t.All)
	expect(bad(t.Failed, r.Excused.Failed) == 0, "expected no error, %d of %d connections had one", t.Failed, t.All)
	expect(bad(t.Stalled, r.Excused.Stalled) == 0, "expected all connections to go on within %s, %d of %d did not", progress, t.Stalled, t.All)
	expect(!s.Lossless || r.Lost == 0, "expected no packet to be lost, %d of %d were (worst gap %s: %s)", r.Lost, r.Sent, r.Gap.Round(time.Millisecond), r.Worst)
	expect(!s.Stays || !r.Moved, "expected that the active router stays, the other one has taken over")
	expect(s.Loose || r.OneActive < ActiveDown+time.Second, "expected one active router within %s, it took %s", (ActiveDown + time.Second).Round(time.Millisecond), r.OneActive.Round(time.Millisecond))
	return errors.Join(errs...)
}

// caughtUp waits until the other router has the flows of this moment.
func (r *Rig) caughtUp(active *lab.Router, c *Connections, s *Streams) error {
	want := len(c.list)
	for _, client := range s.clients {
		want += len(client.streams)
	}
	return lab.Wait(30*time.Second, func() error {
		got, err := flows(r.Peer(active))
		if err == nil && got < want {
			err = fmt.Errorf("%s has %d flows, wants %d", r.Peer(active).Host, got, want)
		}
		return err
	})
}

// flows is how many a router has that outlive a failover.
func flows(router *lab.Router) (int, error) {
	out, err := router.MustLbctl("flows", "-o", "json")
	return strings.Count(out, `"established"`) + strings.Count(out, `"replied"`), err
}
