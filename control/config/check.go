package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

const maxText = 2048 // bytes of what a check sends or looks for

func (d *decoder) checks(c *Config) reader {
	return func(n *yaml.Node, path string) {
		keys := fields{}
		for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
			key := n.Content[i]
			keys[key.Value] = func(n *yaml.Node, path string) {
				check := d.check(n, path)
				check.Name = key.Value
				if _, builtin := builtinChecks()[key.Value]; builtin {
					d.failNode(key, path, "choose another name", "the check %q exists already", key.Value)
					return
				}
				if why := badLabel(key.Value); why != "" {
					d.failNode(key, path, "", "%q: %s", key.Value, why)
				}
				c.Checks[key.Value] = check
			}
		}
		d.mapping(n, path, keys)
	}
}

// checkTypes are all, in the order in which people are told of them.
func checkTypes() []CheckType {
	return []CheckType{CheckTCP, CheckHTTP, CheckHTTPS, CheckPing, CheckExec, CheckNone}
}

// typesWith says which types of checks have a key; what is not here, all have.
func typesWith() map[string][]CheckType {
	web := []CheckType{CheckHTTP, CheckHTTPS}
	secure := []CheckType{CheckHTTPS}
	return map[string][]CheckType{
		"port":   {CheckTCP, CheckHTTP, CheckHTTPS, CheckExec},
		"method": web, "path": web, "host": web, "status": web, "body": web,
		"verify": secure, "ca": secure, "sni": secure,
		"run": {CheckExec},
	}
}

func (d *decoder) check(n *yaml.Node, path string) Check {
	kind, words := CheckNone, wordsOf(checkTypes())
	typ := valueOf(n, "type")
	if typ != nil {
		if choice(d, &kind, words, checkTypes())(typ, path+".type"); !slices.Contains(words, typ.Value) {
			return defaultCheck(CheckNone) // its other keys are those of another type
		}
	}
	c := defaultCheck(kind)
	port := 0
	keys := fields{
		"type":     func(*yaml.Node, string) {},
		"port":     d.integer(&port, 0, 65535),
		"interval": d.duration(&c.Interval, 100*time.Millisecond, time.Hour, time.Millisecond),
		"timeout":  d.duration(&c.Timeout, time.Millisecond, time.Hour, time.Millisecond),
		"rise":     d.integer(&c.Rise, 1, 1000),
		"fall":     d.integer(&c.Fall, 1, 1000),
		"jitter":   d.percent(&c.Jitter),
		"method":   d.matching(&c.Method, methodText, "a method is a word such as GET or HEAD"),
		"path":     d.matching(&c.Path, pathText, "a path begins with / and has no spaces"),
		"host":     d.matching(&c.Host, hostText, "a host is a name or an address"),
		"status":   d.status(&c.Status),
		"body":     d.pattern(&c.Body),
		"verify":   d.boolean(&c.Verify, "true", "false"),
		"ca":       d.matching(&c.CA, fileText, "a file of certificates is named by its whole path, from /"),
		"sni":      d.matching(&c.SNI, nameText, "a name has letters, digits, dots and hyphens"),
		"run":      d.command(&c.Run),
	}
	if typ != nil {
		d.refuseOthers(keys, kind)
	}
	if !d.mapping(n, path, keys) {
		return c
	}
	d.required(n, path, "type", orList(words))
	if kind == CheckExec {
		d.required(n, path, "run", "the program and its arguments, such as [/etc/tarpon/check-db, -q]")
	}
	c.Port = uint16(port)
	d.atMostInterval(n, path, &c.Timeout, c.Interval)
	return c
}

// atMostInterval holds a timeout to the interval; one that is not written follows it.
func (d *decoder) atMostInterval(n *yaml.Node, path string, timeout *time.Duration, interval time.Duration) {
	switch {
	case valueOf(n, "timeout") == nil:
		*timeout = min(*timeout, interval)
	case *timeout > interval:
		d.fail(path+".timeout", "", "%s is longer than the interval, %s", formatDuration(*timeout), formatDuration(interval))
	}
}

// refuseOthers refuses the keys that a type does not have.
func (d *decoder) refuseOthers(keys fields, kind CheckType) {
	for key, types := range typesWith() {
		if slices.Contains(types, kind) {
			continue
		}
		keys[key] = func(n *yaml.Node, path string) {
			words := wordsOf(types)
			d.failNode(n, path, "leave it out, or write type: "+orList(words),
				"only %s checks have it, this one is of type %s", andList(words), kind)
		}
	}
}

func wordsOf(types []CheckType) (words []string) {
	for _, kind := range types {
		words = append(words, string(kind))
	}
	return words
}

func (d *decoder) pattern(to *string) reader {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		if _, err := regexp.Compile(s); err != nil || len(s) > maxText {
			d.failNode(n, path, "see: https://github.com/google/re2/wiki/Syntax", "%.60q is not a regular expression of at most %d bytes", s, maxText)
			return
		}
		*to = s
	}
}

// command reads a program and its arguments.
func (d *decoder) command(to *[]string) reader {
	return func(n *yaml.Node, path string) {
		var list []string
		d.sequence(n, path, func(n *yaml.Node, path string) {
			s, ok := d.text(n, path)
			switch {
			case !ok:
			case len(list) == 0 && !strings.HasPrefix(s, "/"):
				d.failNode(n, path, "there is no shell that would look for it", "%.60q: write the program's whole path, from /", s)
			case strings.ContainsRune(s, 0) || len(s) > maxText:
				d.failNode(n, path, "", "an argument has at most %d bytes, and no NUL among them", maxText)
			}
			list = append(list, s)
		})
		if n.Kind == yaml.SequenceNode && len(list) == 0 || isNull(n) {
			d.failNode(n, path, "", "the program is needed here, such as [/etc/tarpon/check-db, -q]")
		}
		*to = list
	}
}

// What texts look like: those that go into a request as they are must not end it.
var (
	methodText = regexp.MustCompile(`^[A-Z]{1,20}$`)
	pathText   = regexp.MustCompile(`^/[!-~]*$`)
	hostText   = regexp.MustCompile(`^[A-Za-z0-9._:\[\]-]{0,255}$`)
	nameText   = regexp.MustCompile(`^[A-Za-z0-9._-]{0,255}$`)
	fileText   = regexp.MustCompile(`^(/[^\x00-\x1f\x7f]*)?$`)
	pinText    = regexp.MustCompile(`^(?i)sha256:[0-9a-f]{64}$`)
	unitText   = regexp.MustCompile(`^[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]*\.[a-z]+$`)
	agentText  = regexp.MustCompile(`^/?[A-Za-z0-9_][A-Za-z0-9_./-]*$`)
	wholePath  = regexp.MustCompile(`^/[^\x00-\x1f\x7f]*$`)
	v2Text     = regexp.MustCompile(`^[!-~]{0,8}$`)
)

func (d *decoder) matching(to *string, want *regexp.Regexp, otherwise string) reader {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		if !want.MatchString(s) || len(s) > maxText {
			d.failNode(n, path, "", "%.60q: %s", s, otherwise)
			return
		}
		*to = s
	}
}

func (d *decoder) wholePath(to *string) reader {
	return d.matching(to, wholePath, "write the whole path, from /")
}

func (d *decoder) percent(to *float64) reader {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		number, has := strings.CutSuffix(s, "%")
		percent, err := decimal(number, 0, 50)
		if !has || err != nil {
			d.failNode(n, path, "", "%q: write a percentage from 0%% to 50%%", s)
			return
		}
		*to = float64(percent) / 100
	}
}

// status reads 200, 200-299, or a list of such.
func (d *decoder) status(to *[]StatusRange) reader {
	var list []StatusRange
	one := func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		first, last, has := strings.Cut(s, "-")
		if !has {
			last = first
		}
		a, errA := decimal(first, 100, 599)
		b, errB := decimal(last, 100, 599)
		if errA != nil || errB != nil || a > b {
			d.failNode(n, path, "", "%q: write a status such as 200 or 200-299", s)
			return
		}
		list = append(list, StatusRange{a, b})
	}
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.SequenceNode {
			one(n, path)
		} else if d.sequence(n, path, one); len(n.Content) == 0 {
			d.failNode(n, path, "", "at least one status is needed, such as 200-299")
		}
		*to = list
	}
}

// checkOf reads a check's name, or a check written in place.
func (d *decoder) checkOf(to *Check, c *Config) reader {
	return func(n *yaml.Node, path string) {
		if n.Kind == yaml.MappingNode {
			*to = d.check(n, path)
			return
		}
		*to = c.Checks["none"] // what follows from a fault is no fault
		name, ok := d.text(n, path)
		if !ok {
			return
		}
		check, ok := c.Checks[name]
		if !ok {
			d.failNode(n, path, "define it under `checks:`, or write {type: ...} here",
				"there is no check %q%s", name, didYouMean(name, slices.Collect(maps.Keys(c.Checks))))
			return
		}
		*to = check
	}
}
