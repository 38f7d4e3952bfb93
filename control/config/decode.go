package config

import (
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"
)

// decoder reads nodes and gathers every fault instead of stopping at the first.
type decoder struct {
	errors *Errors
}

func (d *decoder) fail(n *yaml.Node, path, remedy, format string, args ...any) {
	fault := Error{Path: path, Message: fmt.Sprintf(format, args...), Remedy: remedy}
	if n != nil {
		fault.Line, fault.Column = n.Line, n.Column
	}
	d.errors.List = append(d.errors.List, fault)
}

// fields are a mapping's keys and what reads each value.
type fields map[string]func(n *yaml.Node, path string)

// mapping reads a mapping strictly: no unknown keys, none twice.
func (d *decoder) mapping(n *yaml.Node, path string, keys fields) bool {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "", "keys with values are needed here")
		return false
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if line, ok := seen[key.Value]; ok {
			d.fail(key, at, "", "already given at line %d", line)
			continue
		}
		seen[key.Value] = key.Line
		read, ok := keys[key.Value]
		if !ok {
			d.fail(key, at, "", "unknown key%s", didYouMean(key.Value, names(keys)))
			continue
		}
		read(value, at)
	}
	return true
}

func names(keys fields) []string {
	list := make([]string, 0, len(keys))
	for key := range keys {
		list = append(list, key)
	}
	slices.Sort(list)
	return list
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// sequence reads a list; an empty value is an empty list.
func (d *decoder) sequence(n *yaml.Node, path string, item func(n *yaml.Node, path string)) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "", "a list is needed here")
		return
	}
	for i, child := range n.Content {
		item(child, fmt.Sprintf("%s[%d]", path, i))
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.fail(n, path, "", "one value is needed here")
		return "", false
	}
	return n.Value, true
}

func (d *decoder) str(to *string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		if s, ok := d.text(n, path); ok {
			*to = s
		}
	}
}

func (d *decoder) boolean(to *bool) func(*yaml.Node, string) { return d.choice(to, "true", "false") }

// choice reads one of two words; the first is true.
func (d *decoder) choice(to *bool, yes, no string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		switch s, ok := d.text(n, path); {
		case !ok:
		case s == yes, s == no:
			*to = s == yes
		default:
			d.fail(n, path, "", "%q: write %s or %s", s, yes, no)
		}
	}
}

func (d *decoder) integer(to *int, least, most int) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		number, err := decimal(s, most)
		switch {
		case err != nil:
			d.fail(n, path, "", "%v", err)
		case number < least:
			d.fail(n, path, "", "%d: at least %d", number, least)
		default:
			*to = number
		}
	}
}

func (d *decoder) duration(to *time.Duration, least, most time.Duration) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		value, err := time.ParseDuration(s)
		switch {
		case err != nil:
			d.fail(n, path, "", "%q: write a time with its unit, such as 500ms, 2s or 15m", s)
		case value < least || value > most:
			d.fail(n, path, "", "%s: from %s to %s", s, least, most)
		default:
			*to = value
		}
	}
}

// later refuses what the format has but this version does not do yet.
func (d *decoder) later(n *yaml.Node, path string) {
	d.fail(n, path, "leave it out", "not supported yet by this version")
}
