package config

import (
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Nodes that an edit makes, and how they are written.

func scalar(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

func flowMapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle} }

func sequenceOf(style yaml.Style, items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Style: style, Content: items}
}

func isBlock(n *yaml.Node) bool {
	return n.Kind != yaml.ScalarNode && n.Style&yaml.FlowStyle == 0
}

// put sets a key of a mapping, the last if it is new.
func put(n *yaml.Node, key string, value *yaml.Node) {
	if at := indexOf(n, key); at >= 0 {
		n.Content[at+1] = value
		return
	}
	n.Content = append(n.Content, scalar(key), value)
}

// plainText is what needs no quotes anywhere in YAML and could not be taken for
// anything but text or a number.
var plainText = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9_./:%@+-]*$`)

// scalarText writes a text as YAML, in quotes where it needs them.
func scalarText(s string) string {
	plain := plainText.MatchString(s) && strings.Count(s, ":") < 2 && !strings.HasSuffix(s, ":") &&
		!strings.EqualFold(s, "null")
	if plain {
		return s
	}
	return strconv.Quote(s)
}

// flowText writes a node in one line.
func flowText(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			parts = append(parts, flowText(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			parts = append(parts, flowText(n.Content[i])+": "+flowText(n.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return scalarText(n.Value)
}

// indents is by how much a file indents.
type indents struct {
	item int // of what follows a dash, from the dash
	list int // of a list's dashes, from its key
}

// blockLines writes a node in lines, in brackets where its style says so.
func (in indents) blockLines(n *yaml.Node) []string {
	var lines []string
	switch {
	case !isBlock(n) || len(n.Content) == 0:
		return []string{flowText(n)}
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			lines = append(lines, indentLines(in.blockLines(item), "-"+spaces(in.item-1), spaces(in.item))...)
		}
		return lines
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		lines = append(lines, in.pair(n.Content[i].Value, n.Content[i+1])...)
	}
	return lines
}

// pair writes a key with its value in lines.
func (in indents) pair(key string, value *yaml.Node) []string {
	key = scalarText(key)
	if !isBlock(value) || len(value.Content) == 0 {
		return []string{key + ": " + flowText(value)}
	}
	indentation := 2
	if value.Kind == yaml.SequenceNode {
		indentation = in.list
	}
	return append([]string{key + ":"}, indentLines(in.blockLines(value), spaces(indentation), spaces(indentation))...)
}

func indentLines(lines []string, first, others string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = others + line
		if i == 0 {
			out[i] = first + line
		}
	}
	return out
}

func spaces(n int) string { return strings.Repeat(" ", max(n, 0)) }

// same says whether two trees mean the same to the parser.
func same(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || len(a.Content) != len(b.Content) {
		return false
	}
	switch a.Kind {
	case yaml.ScalarNode:
		return isNull(a) == isNull(b) && (isNull(a) || a.Value == b.Value)
	case yaml.MappingNode:
		for i := 0; i+1 < len(a.Content); i += 2 {
			other := valueOf(b, a.Content[i].Value)
			if other == nil || !same(a.Content[i+1], other) {
				return false
			}
		}
		return true
	}
	for i := range a.Content {
		if !same(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}
