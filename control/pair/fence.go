package pair

import (
	"os"
	"path/filepath"

	"github.com/tarpon-lb/tarpon/control/pair/program"
	"github.com/tarpon-lb/tarpon/control/pair/vrrp"
)

// fenceRules are the election's. When both routers are about to fence, the one with the
// higher priority shoots first.
func (p *Pair) fenceRules() *vrrp.Fence {
	f := p.conf.Fence
	if f.Agent == "" {
		return nil
	}
	rules := &vrrp.Fence{Proceed: f.Proceed, Require: f.Require}
	if p.side.Own.Priority < p.side.Peer.Priority {
		rules.Delay = f.Delay
	}
	return rules
}

// fence makes sure that the other router does nothing any more. The election waits.
func (p *Pair) fence() {
	p.fencing = true
	agent := program.Fence{Agent: p.conf.Fence.Agent, Options: p.side.Fence, Timeout: p.conf.Fence.Timeout}
	p.running.Go(func() {
		p.speaker.Fenced(agent.Shoot(p.ctx))
		p.post(func() { p.fencing = false })
	})
}

// HeardFile is in the run directory when the other router was heard since our boot: the
// daemon that comes next must know that it may fence.
const HeardFile = "peer-heard"

func (p *Pair) heardFile() string { return filepath.Join(p.RunDir, HeardFile) }

func (p *Pair) wasHeard() bool {
	_, err := os.Stat(p.heardFile())
	return err == nil
}

func (p *Pair) keepHeard() {
	p.heard = true
	p.Events.Fail("keep that "+p.side.Peer.Name+" was heard", os.WriteFile(p.heardFile(), nil, 0o644))
}
