package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A Setting is one key of a vip or real with the text of its value.
type Setting struct{ Key, Value string }

// An edit of a file's bytes changes those of the named vip or real alone; the
// rest, comments and order included, stays. Each returns new bytes.
//
// A fault of the request is an error; the result has been read back, and means
// what was asked for.

// AddVip adds a vip with its settings (in that order) and reals at the end of the
// list.
func AddVip(data []byte, vip string, settings []Setting, reals [][]Setting) ([]byte, error) {
	root, s, err := open(data)
	if err != nil {
		return nil, err
	}
	column := 3
	list := value(root, "vips")
	if list != nil && list.Kind == yaml.SequenceNode && len(list.Content) > 0 {
		if list.Style&yaml.FlowStyle != 0 {
			return nil, fmt.Errorf("line %d: `vips` is written in brackets; write it as a list with dashes, then: lbctl reload", list.Line)
		}
		column = list.Column
	}
	at := indent(column - 1)
	lines := []string{at + "- vip: " + quote(vip)}
	for _, setting := range settings {
		lines = append(lines, at+"  "+setting.Key+": "+setting.Value)
	}
	if len(reals) > 0 {
		lines = append(lines, at+"  reals:")
	}
	for _, real := range reals {
		lines = append(lines, at+"    - "+realText(real))
	}
	switch {
	case list == nil:
		lines = append([]string{"vips:"}, lines...)
		return verify(s.insertLines(max(len(data)-1, 0), lines...), data, vip)
	case len(list.Content) == 0:
		end, err := s.end(list)
		if err != nil {
			return nil, err
		}
		key := keyNode(root, "vips")
		after := s.offset(key) + len("vips")
		rest := strings.TrimRight(string(data[end:s.lineEnd(end)]), "\n")
		text := ":" + rest + "\n" + strings.Join(lines, "\n") + "\n"
		return verify(s.replace(after, s.lineEnd(end), text), data, vip)
	}
	end, err := s.end(list)
	if err != nil {
		return nil, err
	}
	return verify(s.insertLines(end, lines...), data, vip)
}

// DeleteVip removes a vip.
func DeleteVip(data []byte, vip string) ([]byte, error) {
	root, s, err := open(data)
	if err != nil {
		return nil, err
	}
	n, err := findVip(data, root, vip)
	if err != nil {
		return nil, err
	}
	edited, err := s.deleteItem(keyNode(root, "vips"), value(root, "vips"), n)
	if err != nil {
		return nil, err
	}
	return verify(edited, data, vip)
}

// EditVip changes settings of a vip.
func EditVip(data []byte, vip string, settings []Setting) ([]byte, error) {
	edited := data
	for _, setting := range settings {
		root, s, err := open(edited)
		if err != nil {
			return nil, err
		}
		n, err := findVip(edited, root, vip)
		if err != nil {
			return nil, err
		}
		if edited, err = s.set(n, setting); err != nil {
			return nil, err
		}
	}
	return verify(edited, data, vip)
}

// AddReal adds a real to a vip: its settings, `real` first.
func AddReal(data []byte, vip string, settings []Setting) ([]byte, error) {
	root, s, err := open(data)
	if err != nil {
		return nil, err
	}
	n, err := findVip(data, root, vip)
	if err != nil {
		return nil, err
	}
	edited, err := s.appendReal(n, realText(settings))
	if err != nil {
		return nil, err
	}
	return verify(edited, data, vip)
}

func (s *source) appendReal(vip *yaml.Node, text string) ([]byte, error) {
	list := value(vip, "reals")
	if list == nil {
		if vip.Style&yaml.FlowStyle != 0 {
			return s.set(vip, Setting{"reals", "[" + text + "]"})
		}
		end, err := s.end(vip)
		if err != nil {
			return nil, err
		}
		at := indent(vip.Column - 1)
		return s.insertLines(end, at+"reals:", at+"  - "+text), nil
	}
	end, err := s.end(list)
	if err != nil {
		return nil, err
	}
	switch {
	case isNull(list):
		key := keyNode(vip, "reals")
		after := s.offset(key) + len("reals:")
		return s.replace(after, end, " ["+text+"]"), nil
	case list.Kind != yaml.SequenceNode:
		return nil, fmt.Errorf("line %d: reals is no list", list.Line)
	case list.Style&yaml.FlowStyle == 0 && len(list.Content) > 0:
		return s.insertLines(end, indent(list.Column-1)+"- "+text), nil
	case len(list.Content) == 0:
		return s.replace(s.offset(list), end, "["+text+"]"), nil
	}
	last, err := s.end(list.Content[len(list.Content)-1])
	if err != nil {
		return nil, err
	}
	return s.replace(last, last, ", "+text), nil
}

// DeleteReal removes a real from a vip.
func DeleteReal(data []byte, vip, real string) ([]byte, error) {
	root, s, err := open(data)
	if err != nil {
		return nil, err
	}
	n, item, err := findReal(data, root, vip, real)
	if err != nil {
		return nil, err
	}
	edited, err := s.deleteItem(keyNode(n, "reals"), value(n, "reals"), item)
	if err != nil {
		return nil, err
	}
	return verify(edited, data, vip)
}

// EditReal changes settings of a real.
func EditReal(data []byte, vip, real string, settings []Setting) ([]byte, error) {
	edited := data
	for _, setting := range settings {
		root, s, err := open(edited)
		if err != nil {
			return nil, err
		}
		_, item, err := findReal(edited, root, vip, real)
		if err != nil {
			return nil, err
		}
		if item.Kind == yaml.MappingNode {
			edited, err = s.set(item, setting)
		} else {
			edited, err = s.lengthen(item, setting)
		}
		if err != nil {
			return nil, err
		}
	}
	return verify(edited, data, vip)
}

// lengthen writes a real's short form as the long one, with a setting.
func (s *source) lengthen(n *yaml.Node, setting Setting) ([]byte, error) {
	end, err := s.end(n)
	if err != nil {
		return nil, err
	}
	start := s.offset(n)
	text := fmt.Sprintf("{real: %s, %s: %s}", s.data[start:end], setting.Key, setting.Value)
	return s.replace(start, end, text), nil
}

// set changes or adds one key of a mapping.
func (s *source) set(n *yaml.Node, setting Setting) ([]byte, error) {
	if old := value(n, setting.Key); old != nil {
		end, err := s.end(old)
		if err != nil {
			return nil, err
		}
		start := s.offset(old)
		if isNull(old) && start == end {
			return s.replace(start, end, " "+setting.Value), nil
		}
		if old.Kind != yaml.ScalarNode && old.Style&yaml.FlowStyle == 0 {
			// A block value begins on a line of its own.
			key := keyNode(n, setting.Key)
			start = s.offset(key) + len(setting.Key) + 1
			return s.replace(start, end, " "+setting.Value), nil
		}
		return s.replace(start, end, setting.Value), nil
	}
	first := n.Content[1] // `vip` or whatever stands first
	end, err := s.end(first)
	if err != nil {
		return nil, err
	}
	if n.Style&yaml.FlowStyle != 0 {
		return s.replace(end, end, ", "+setting.Key+": "+setting.Value), nil
	}
	return s.insertLines(end, indent(n.Column-1)+setting.Key+": "+setting.Value), nil
}

// deleteItem removes one item of a list; a list without items is written [].
func (s *source) deleteItem(key, list, item *yaml.Node) ([]byte, error) {
	start := s.offset(item)
	end, err := s.end(item)
	if err != nil {
		return nil, err
	}
	if list.Style&yaml.FlowStyle != 0 {
		return s.deleteFlowItem(list, item, start, end)
	}
	if len(list.Content) == 1 {
		start := s.offset(key) + len(key.Value) + 1
		rest := strings.TrimSpace(string(s.data[start:s.lineEnd(start)]))
		if rest != "" {
			rest = " " + rest
		}
		return s.replace(start, s.lineEnd(end), " []"+rest+"\n"), nil
	}
	return s.replace(s.lineStart(start), s.lineEnd(end), ""), nil
}

func (s *source) deleteFlowItem(list, item *yaml.Node, start, end int) ([]byte, error) {
	for i, other := range list.Content {
		if other != item {
			continue
		}
		if i+1 < len(list.Content) {
			return s.replace(start, s.offset(list.Content[i+1]), ""), nil
		}
		if i > 0 {
			previous, err := s.end(list.Content[i-1])
			return s.replace(previous, end, ""), err
		}
	}
	return s.replace(start, end, ""), nil
}

func keyNode(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i]
		}
	}
	return nil
}

func open(data []byte) (*yaml.Node, *source, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, nil, fmt.Errorf("the file is not YAML: %w", err)
	}
	if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
		return nil, nil, fmt.Errorf("the file has no legs yet; write them by hand, then: lbctl reload")
	}
	return document.Content[0], newSource(data), nil
}

// findVip finds a vip's node by its name or endpoint.
func findVip(data []byte, root *yaml.Node, vip string) (*yaml.Node, error) {
	c, err := Parse("", data)
	if err != nil {
		return nil, err
	}
	at := c.FindVip(vip)
	if at < 0 {
		return nil, fmt.Errorf("there is no vip %s", vip)
	}
	return value(root, "vips").Content[at], nil
}

func findReal(data []byte, root *yaml.Node, vip, real string) (vipNode, item *yaml.Node, err error) {
	c, err := Parse("", data)
	if err != nil {
		return nil, nil, err
	}
	at := c.FindVip(vip)
	if at < 0 {
		return nil, nil, fmt.Errorf("there is no vip %s", vip)
	}
	index := c.Vips[at].FindReal(real)
	if index < 0 {
		return nil, nil, fmt.Errorf("vip %s has no real %s", vip, real)
	}
	vipNode = value(root, "vips").Content[at]
	return vipNode, value(vipNode, "reals").Content[index], nil
}

// verify reads the result back: every other vip, and everything that is no vip,
// must mean what it meant.
func verify(edited, before []byte, vip string) ([]byte, error) {
	was, err := Parse("", before)
	if err != nil {
		return nil, err
	}
	is, err := Parse("", edited)
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(others(was, vip), others(is, vip)) {
		return nil, fmt.Errorf("the edit would have changed more than vip %s; edit the file by hand, then: lbctl reload", vip)
	}
	return edited, nil
}

func others(c *Config, vip string) Config {
	rest := *c
	rest.Vips = nil
	at := c.FindVip(vip)
	for i, v := range c.Vips {
		if i == at {
			continue
		}
		v.Line = 0
		v.Reals = append([]Real(nil), v.Reals...)
		for j := range v.Reals {
			v.Reals[j].Line = 0
		}
		rest.Vips = append(rest.Vips, v)
	}
	return rest
}

// quote writes a vip or real so that YAML takes it as text.
func quote(s string) string {
	if strings.HasPrefix(s, "[") || strings.Contains(s, "::") {
		return strconv.Quote(s)
	}
	return s
}

// Quote writes free text as a YAML value.
func Quote(s string) string {
	if plain(s) {
		return s
	}
	return strconv.Quote(s)
}

func plain(s string) bool {
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./", r) {
			return false
		}
	}
	switch strings.ToLower(s) {
	case "", "true", "false", "yes", "no", "on", "off", "null", "-", ".":
		return false
	}
	return s[0] != '-' && s[0] != '.' && (s[0] < '0' || s[0] > '9')
}

// realText is the short form if the address is all there is.
func realText(settings []Setting) string {
	if len(settings) == 1 {
		return quote(settings[0].Value)
	}
	parts := make([]string, len(settings))
	for i, setting := range settings {
		text := setting.Value
		if setting.Key == "real" {
			text = quote(text)
		}
		parts[i] = setting.Key + ": " + text
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
