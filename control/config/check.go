package config

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

func (d *decoder) checks(n *yaml.Node, checks map[string]Check) {
	keys := fields{}
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		name := n.Content[i].Value
		keys[name] = func(n *yaml.Node, path string) {
			if name == "tcp" || name == "none" {
				d.fail(n, path, "choose another name", "the check %q exists already", name)
				return
			}
			check := d.check(n, path)
			check.Name = name
			checks[name] = check
		}
	}
	d.mapping(n, "checks", keys)
}

func (d *decoder) check(n *yaml.Node, path string) Check {
	kind := ""
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		if n.Content[i].Value == "type" {
			kind = n.Content[i+1].Value
		}
	}
	c := defaultCheck(CheckType(kind))
	port := 0
	keys := fields{
		"type": func(n *yaml.Node, path string) {
			switch CheckType(kind) {
			case CheckNone, CheckTCP, CheckHTTP:
			case "https", "ping", "exec":
				d.fail(n, path, "write tcp, http or none", "a check of type %s is not supported yet", kind)
			default:
				d.fail(n, path, "", "%q: write tcp, http or none", kind)
			}
		},
		"port":     d.integer(&port, 0, 65535),
		"interval": d.duration(&c.Interval, 100*time.Millisecond, time.Hour),
		"timeout":  d.duration(&c.Timeout, time.Millisecond, time.Hour),
		"rise":     d.integer(&c.Rise, 1, 1000),
		"fall":     d.integer(&c.Fall, 1, 1000),
		"jitter":   d.percent(&c.Jitter),
	}
	if CheckType(kind) == CheckHTTP {
		keys["method"] = d.str(&c.Method)
		keys["path"] = d.str(&c.Path)
		keys["host"] = d.str(&c.Host)
		keys["status"] = d.status(&c.Status)
		keys["body"] = func(n *yaml.Node, path string) {
			d.str(&c.Body)(n, path)
			if _, err := regexp.Compile(c.Body); err != nil {
				d.fail(n, path, "", "not a regular expression: %v", err)
			}
		}
	}
	if !d.mapping(n, path, keys) {
		return c
	}
	if kind == "" {
		d.fail(n, path+".type", "", "required: tcp, http or none")
	}
	c.Port = uint16(port)
	if c.Timeout > c.Interval {
		d.fail(n, path+".timeout", "", "%s is longer than the interval, %s", c.Timeout, c.Interval)
	}
	if CheckType(kind) == CheckHTTP && !strings.HasPrefix(c.Path, "/") {
		d.fail(n, path+".path", "", "%q: a path begins with /", c.Path)
	}
	return c
}

func (d *decoder) percent(to *float64) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		number, has := strings.CutSuffix(s, "%")
		percent, err := decimal(number, 50)
		switch {
		case !ok:
		case !has || err != nil:
			d.fail(n, path, "", "%q: write a percentage from 0%% to 50%%", s)
		default:
			*to = float64(percent) / 100
		}
	}
}

// status reads 200, 200-299, or a list of such.
func (d *decoder) status(to *[]StatusRange) func(*yaml.Node, string) {
	one := func(n *yaml.Node, path string) (StatusRange, bool) {
		s, ok := d.text(n, path)
		if !ok {
			return StatusRange{}, false
		}
		first, last, has := strings.Cut(s, "-")
		if !has {
			last = first
		}
		a, errA := strconv.Atoi(first)
		b, errB := strconv.Atoi(last)
		if errA != nil || errB != nil || a < 100 || b > 599 || a > b {
			d.fail(n, path, "", "%q: write a status such as 200 or 200-299", s)
			return StatusRange{}, false
		}
		return StatusRange{a, b}, true
	}
	return func(n *yaml.Node, path string) {
		*to = nil
		if n.Kind != yaml.SequenceNode {
			if r, ok := one(n, path); ok {
				*to = []StatusRange{r}
			}
			return
		}
		d.sequence(n, path, func(n *yaml.Node, path string) {
			if r, ok := one(n, path); ok {
				*to = append(*to, r)
			}
		})
	}
}

// checkOf reads a check's name, or a check written in place.
func (d *decoder) checkOf(to *Check, checks map[string]Check) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		if n.Kind == yaml.MappingNode {
			*to = d.check(n, path)
			return
		}
		name, ok := d.text(n, path)
		if !ok {
			return
		}
		check, ok := checks[name]
		if !ok {
			known := []string{}
			for k := range checks {
				known = append(known, k)
			}
			d.fail(n, path, "define it under `checks:`, or write {type: ...} here",
				"there is no check %q%s", name, strings.Replace(didYouMean(name, known), "known keys", "known checks", 1))
			return
		}
		*to = check
	}
}
