package config

import (
	"time"

	"go.yaml.in/yaml/v4"
)

// A Hook is a program that is told of what has happened.
type Hook struct {
	On      []string // words of hookEvents
	Run     []string
	Timeout time.Duration
}

// A Service runs where the router is active: a unit of systemd, or three programs.
type Service struct {
	Name                string // of a unit: the unit's
	Unit                string
	Start, Stop, Status []string
	Critical            bool // its failure is a fault
	Restarts            int  // within an hour
	Timeout             time.Duration
	Interval            time.Duration // of asking for its status
}

// A Fence makes sure that a peer which is not heard does nothing. Zero: there is none.
type Fence struct {
	Agent   string
	Options map[string]string // router that is to be shot -> file of how
	Delay   time.Duration
	Timeout time.Duration
	Proceed bool // on_fail: proceed
	Require bool
}

func hookEvents() []string { return []string{"active", "standby", "fault", "split-brain"} }

func defaultHook() Hook { return Hook{Timeout: 10 * time.Second} }

func defaultService() Service {
	return Service{Restarts: 3, Timeout: 30 * time.Second, Interval: 10 * time.Second}
}

func defaultFence() Fence { return Fence{Delay: 2 * time.Second, Timeout: 30 * time.Second} }

func (d *decoder) hook(to *Hook) reader {
	return func(n *yaml.Node, path string) {
		*to = defaultHook()
		ok := d.mapping(n, path, fields{
			"on":      list(d, &to.On, func(to *string) reader { return choice(d, to, hookEvents(), hookEvents()) }),
			"run":     d.command(&to.Run),
			"timeout": d.duration(&to.Timeout, time.Millisecond, time.Hour, time.Millisecond),
		})
		if !ok {
			return
		}
		d.required(n, path, "run", "the program and its arguments")
		if on := valueOf(n, "on"); on == nil {
			d.required(n, path, "on", "a list of "+andList(hookEvents()))
		} else if len(on.Content) == 0 && (isNull(on) || on.Kind == yaml.SequenceNode) {
			d.failNode(on, path+".on", "", "at least one event is needed here, such as active")
		}
	}
}

func (d *decoder) service(to *Service) reader {
	return func(n *yaml.Node, path string) {
		*to = defaultService()
		keys := fields{
			"critical": d.boolean(&to.Critical, "true", "false"),
			"restarts": d.integer(&to.Restarts, 0, 1000),
			"timeout":  d.duration(&to.Timeout, time.Millisecond, time.Hour, time.Millisecond),
			"interval": d.duration(&to.Interval, 100*time.Millisecond, time.Hour, time.Millisecond),
		}
		if valueOf(n, "unit") != nil {
			keys["unit"] = d.matching(&to.Unit, unitText, "a unit is named with its suffix, such as vsftpd.service")
			d.mapping(n, path, keys)
			to.Name = to.Unit
			return
		}
		keys["name"] = d.name(&to.Name)
		keys["start"], keys["stop"], keys["status"] = d.command(&to.Start), d.command(&to.Stop), d.command(&to.Status)
		if d.mapping(n, path, keys) {
			d.required(n, path, "name", "or unit: the name of one of systemd's")
			for _, key := range []string{"start", "stop", "status"} {
				d.required(n, path, key, "the program and its arguments")
			}
		}
	}
}

func (d *decoder) fence(to *Fence, c *Config) reader {
	names := make([]string, len(c.Routers))
	for i, router := range c.Routers {
		names[i] = router.Name
	}
	return func(n *yaml.Node, path string) {
		*to = defaultFence()
		ok := d.mapping(n, path, fields{
			"agent":   d.matching(&to.Agent, agentText, "an agent is a program such as fence_ipmilan"),
			"options": byName(d, names, &to.Options, d.wholePath),
			"delay":   d.duration(&to.Delay, 0, time.Hour, time.Millisecond),
			"timeout": d.duration(&to.Timeout, time.Millisecond, time.Hour, time.Millisecond),
			"on_fail": d.boolean(&to.Proceed, "proceed", "wait"),
			"require": d.boolean(&to.Require, "true", "false"),
		})
		if ok {
			d.required(n, path, "agent", "a program such as fence_ipmilan")
		}
	}
}
