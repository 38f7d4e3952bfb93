package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// A Setting is a key of a vip, a real or a check, and what it is to be: a plain
// value as people write it, a mapping, or nothing, so that the default counts.
type Setting struct {
	Key    string // as in the file; a dot leads into a mapping: timeouts.udp
	Value  string
	Fields []Setting // a mapping instead of a value
	Unset  bool
}

// A NewReal is a real to be added.
type NewReal struct {
	Real     string
	Settings []Setting
}

// CheckSetting is the setting for a check as people write it in a command: the
// name of one, tcp, none, http:/path or https:/path.
func CheckSetting(text string) Setting {
	kind, path, has := strings.Cut(text, ":")
	if !has {
		return Setting{Key: "check", Value: text}
	}
	return Setting{Key: "check", Fields: []Setting{{Key: "type", Value: kind}, {Key: "path", Value: path}}}
}

// The order of keys, for those that are new. The first is what a vip or a real is
// known by.
func vipKeys() []string {
	return []string{"vip", "name", "enabled", "leg", "prefix", "scheduler", "check", "initial", "on_fail",
		"when_empty", "timeouts", "shares_own_address", "reals"}
}

func realKeys() []string { return []string{"real", "name", "weight", "enabled", "check"} }

// check refuses what an edit of settings does not change.
func (s Setting) check() error {
	switch {
	case s.Key == "vip" || s.Key == "real":
		return fmt.Errorf("%s: a %s is known by its address: add another and delete this one", s.Key, s.Key)
	case s.Key == "reals":
		return fmt.Errorf("reals are added, edited and deleted one by one")
	case !utf8.ValidString(s.Key) || !utf8.ValidString(s.Value):
		return fmt.Errorf("%q: %q is not UTF-8 text", s.Key, s.Value)
	}
	return nil
}

// settings changes keys of a mapping, one after the other; the mapping is asked
// for each time, since every change reads the file again.
func (d *document) settings(settings []Setting, order []string, mapping func() *yaml.Node) error {
	for _, s := range settings {
		if err := s.check(); err != nil {
			return err
		}
		if err := d.setting(mapping(), s, order); err != nil {
			return err
		}
	}
	return nil
}

// setting follows a dotted key as far as the file has mappings for it, and sets
// the rest there.
func (d *document) setting(n *yaml.Node, s Setting, order []string) error {
	outer, rest, dotted := strings.Cut(s.Key, ".")
	inner := valueOf(n, outer)
	if !dotted || inner == nil || isNull(inner) {
		return d.setHere(n, s, order)
	}
	if inner.Kind != yaml.MappingNode {
		return fmt.Errorf("%s is %q in the file, so that %s cannot be set: give %s as a whole", outer, inner.Value, s.Key, outer)
	}
	switch {
	case len(inner.Content) == 0:
		return d.setHere(n, s, order)
	case s.Unset && len(inner.Content) == 2 && inner.Content[0].Value == rest:
		return d.unset(n, outer) // nothing would be left in it
	}
	s.Key = rest
	return d.setting(inner, s, nil)
}

// setHere sets a key of a mapping, with new mappings for what follows its dots.
func (d *document) setHere(n *yaml.Node, s Setting, order []string) error {
	if s.Unset {
		if !strings.Contains(s.Key, ".") {
			return d.unset(n, s.Key)
		}
		return nil
	}
	value, key := s.node(), s.Key
	for dot := strings.LastIndexByte(key, '.'); dot >= 0; dot = strings.LastIndexByte(key, '.') {
		wrapped := flowMapping()
		put(wrapped, key[dot+1:], value)
		value, key = wrapped, key[:dot]
	}
	return d.set(n, key, value, order)
}

// node is a setting's value as it is written.
func (s Setting) node() *yaml.Node {
	if s.Fields == nil {
		return scalar(s.Value)
	}
	n := flowMapping()
	for _, field := range s.Fields {
		put(n, field.Key, field.node())
	}
	return n
}

// fill puts settings into a mapping that is not in a file yet.
func fill(n *yaml.Node, settings []Setting) error {
	for _, s := range settings {
		if err := s.check(); err != nil {
			return err
		}
		s.fill(n)
	}
	return nil
}

func (s Setting) fill(n *yaml.Node) {
	outer, rest, dotted := strings.Cut(s.Key, ".")
	at := indexOf(n, outer)
	switch {
	case s.Unset && at >= 0 && (!dotted || len(n.Content[at+1].Content) == 2 && valueOf(n.Content[at+1], rest) != nil):
		n.Content = slices.Delete(n.Content, at, at+2)
	case s.Unset && at < 0:
	case !dotted:
		put(n, outer, s.node())
	default:
		if at < 0 || n.Content[at+1].Kind != yaml.MappingNode {
			put(n, outer, flowMapping())
		}
		s.Key = rest
		s.fill(valueOf(n, outer))
	}
}

// vipNode is a new vip: its settings in the given order, its reals last.
func vipNode(vip string, settings []Setting, reals []NewReal) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	put(n, "vip", scalar(vip))
	if err := fill(n, settings); err != nil {
		return nil, err
	}
	list := sequenceOf(0)
	for _, real := range reals {
		item, err := realNode(real, yaml.FlowStyle)
		if err != nil {
			return nil, err
		}
		list.Content = append(list.Content, item)
	}
	if len(reals) > 0 {
		put(n, "reals", list)
	}
	return n, nil
}

// realNode is a new real, in its short form if its address is all there is.
func realNode(real NewReal, style yaml.Style) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: style}
	put(n, "real", scalar(real.Real))
	if err := fill(n, real.Settings); err != nil {
		return nil, err
	}
	if len(n.Content) == 2 {
		return scalar(real.Real), nil
	}
	return n, nil
}
