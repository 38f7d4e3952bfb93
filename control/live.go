package control

import (
	"fmt"
	"net/netip"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/plan"
	"github.com/tarpon-lb/tarpon/loader"
)

// liveFlows is how many flows there were at one moment.
type liveFlows struct {
	all   int
	vips  map[loader.Endpoint]int
	reals map[checkKey]int
}

func (c *Controller) liveFlows() liveFlows { return c.named(c.Loader.Live()) }

// named are flows that were counted by backend.
func (c *Controller) named(counted map[loader.BackendID]loader.Live) liveFlows {
	live := liveFlows{vips: map[loader.Endpoint]int{}, reals: map[checkKey]int{}}
	for id, count := range counted {
		backend := c.have.Backends[id]
		vip := c.have.Vips[backend.Vip].Endpoint
		flows := count.Established + count.Other
		live.all += flows
		live.vips[vip] += flows
		live.reals[checkKey{vip, backend.Real}] += flows
	}
	return live
}

// touched is how many flows do not go on as they were.
func (f liveFlows) touched(change plan.Change) int {
	switch {
	case !change.Ends:
		return 0
	case change.Real.IsValid():
		return f.reals[checkKey{change.Vip, change.Real}]
	}
	return f.vips[change.Vip]
}

// told says changes in the API's words.
func told(changes []plan.Change, live liveFlows) api.Result {
	result := api.Result{Changed: true, Changes: make([]api.Change, 0, len(changes)), Flows: live.all}
	for _, change := range changes {
		touched := live.touched(change)
		result.FlowsTouched += touched
		result.Changes = append(result.Changes, api.Change{
			Action: string(change.Action), Vip: vipText(change.Vip), Real: realText(change.Real),
			Subject: change.Subject, Details: change.Details, Text: change.String(), FlowsTouched: touched,
		})
	}
	result.Message = fmt.Sprintf("%s; %d of %d flows touched", plan.Summary(changes), result.FlowsTouched, result.Flows)
	return result
}

func vipText(vip loader.Endpoint) string {
	if !vip.IsValid() {
		return ""
	}
	return config.FormatVip(vip)
}

func realText(real netip.AddrPort) string {
	if !real.IsValid() {
		return ""
	}
	return config.Real{Address: real}.String()
}
