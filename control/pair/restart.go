package pair

import (
	"time"

	"github.com/tarpon-lb/tarpon/control/pair/vrrp"
)

const (
	// restartTime is the interval of an active router's last advert before it restarts in
	// place: the other router waits for three of them and a bit. A restart takes a second or
	// two; the longer this is, the longer nobody answers if it fails.
	restartTime = 2 * time.Second
	// sayTime is how long the line may take for the same.
	sayTime = 500 * time.Millisecond
)

// Restarting is to be called before this process becomes another program, and Close at
// once after it: the roles stay until that one has begun, or has had its time. The other
// router believes what it hears last, by wire or line, so both say it.
func (p *Pair) Restarting() {
	if p.speaker.Snapshot().Role != vrrp.Active {
		return
	}
	p.pausing = restartTime
	p.review()
	p.speaker.Pause(restartTime)
	if !p.linked {
		return
	}
	sent := make(chan struct{})
	p.sayFacts(&p.speaker.Snapshot().Priority, sent)
	select {
	case <-sent:
	case <-time.After(sayTime):
	}
}
