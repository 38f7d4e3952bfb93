package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// source is a file's bytes with the places of its nodes.
type source struct {
	data  []byte
	lines []int // offset of each line's first byte
}

func newSource(data []byte) *source {
	s := &source{data: data, lines: []int{0}}
	for i, b := range data {
		if b == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// offset is where a node begins. Its column counts characters.
func (s *source) offset(n *yaml.Node) int {
	at := s.lines[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(s.data[at:])
		at += size
	}
	return at
}

// lineEnd is the offset after the line that an offset is in, line feed included.
func (s *source) lineEnd(at int) int {
	if end := bytes.IndexByte(s.data[at:], '\n'); end >= 0 {
		return at + end + 1
	}
	return len(s.data)
}

func (s *source) lineStart(at int) int {
	return bytes.LastIndexByte(s.data[:at], '\n') + 1
}

// end is the offset after a node's last byte: for block collections after their
// last scalar.
func (s *source) end(n *yaml.Node) (int, error) {
	start := s.offset(n)
	switch {
	case n.Kind == yaml.ScalarNode:
		return s.scalarEnd(n, start)
	case n.Style&yaml.FlowStyle != 0:
		return s.flowEnd(start)
	case len(n.Content) == 0:
		return start, nil
	}
	return s.end(n.Content[len(n.Content)-1])
}

func (s *source) scalarEnd(n *yaml.Node, start int) (int, error) {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return s.quoteEnd(start, '"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		return s.quoteEnd(start, '\'')
	case isNull(n) && !bytes.HasPrefix(s.data[start:], []byte("null")) && !bytes.HasPrefix(s.data[start:], []byte("~")):
		return start, nil // nothing is written
	case bytes.HasPrefix(s.data[start:], []byte(n.Value)):
		return start + len(n.Value), nil
	}
	return 0, fmt.Errorf("line %d: a value over several lines cannot be edited; edit the file by hand, then: lbctl reload", n.Line)
}

func (s *source) quoteEnd(start int, quote byte) (int, error) {
	for i := start + 1; i < len(s.data); i++ {
		switch {
		case quote == '"' && s.data[i] == '\\':
			i++
		case s.data[i] == quote && quote == '\'' && i+1 < len(s.data) && s.data[i+1] == '\'':
			i++
		case s.data[i] == quote:
			return i + 1, nil
		}
	}
	return 0, fmt.Errorf("a quote is not closed")
}

// flowEnd finds the bracket that closes the one at start.
func (s *source) flowEnd(start int) (int, error) {
	depth := 0
	for i := start; i < len(s.data); i++ {
		switch b := s.data[i]; b {
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				return i + 1, nil
			}
		case '"', '\'':
			if previous := s.data[i-1]; bytes.IndexByte([]byte(" \n[{,:"), previous) < 0 {
				continue // inside a plain scalar
			}
			end, err := s.quoteEnd(i, b)
			if err != nil {
				return 0, err
			}
			i = end - 1
		case '#':
			if s.data[i-1] == ' ' || s.data[i-1] == '\n' {
				i = s.lineEnd(i) - 1
			}
		}
	}
	return 0, fmt.Errorf("a bracket is not closed")
}

// replace returns the bytes with those from start to end replaced.
func (s *source) replace(start, end int, text string) []byte {
	return bytes.Join([][]byte{s.data[:start], []byte(text), s.data[end:]}, nil)
}

// insertLines puts whole lines behind the line that an offset is in.
func (s *source) insertLines(at int, lines ...string) []byte {
	end := s.lineEnd(at)
	text := strings.Join(lines, "\n") + "\n"
	if end > 0 && s.data[end-1] != '\n' {
		text = "\n" + text
	}
	return s.replace(end, end, text)
}

func indent(n int) string { return strings.Repeat(" ", n) }
