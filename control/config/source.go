package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// source is a file's bytes and where its lines begin; it knows from which byte to
// which a node goes.
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

// A patch replaces the bytes from start to end.
type patch struct {
	start, end int
	text       string
}

// apply returns new bytes; patches do not overlap. Of those at one place the first
// comes first.
func (s *source) apply(patches []patch) []byte {
	slices.SortStableFunc(patches, func(a, b patch) int { return cmp.Compare(a.start, b.start) })
	var out []byte
	at := 0
	for _, p := range patches {
		out = append(append(out, s.data[at:p.start]...), p.text...)
		at = p.end
	}
	return append(out, s.data[at:]...)
}

// start is where a node begins. Its column counts characters. A value that is not
// there may be said to be in the line behind the last.
func (s *source) start(n *yaml.Node) int {
	if n.Line > len(s.lines) {
		return len(s.data)
	}
	at := s.lines[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(s.data[at:])
		at += size
	}
	return at
}

// end is behind a node's last byte.
func (s *source) end(n *yaml.Node) (int, error) {
	start := s.start(n)
	switch {
	case n.Kind == yaml.ScalarNode:
		return s.scalarEnd(n, start)
	case n.Style&yaml.FlowStyle != 0 && start < len(s.data) && (s.data[start] == '[' || s.data[start] == '{'):
		return s.flowEnd(n, start)
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
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return s.blockScalarEnd(n, start)
	}
	// A plain one: where a line break and indentation stand, its value has a space.
	at := start
	for _, r := range n.Value {
		if r == ' ' || r == '\n' {
			for at < len(s.data) && strings.IndexByte(" \t\r\n", s.data[at]) >= 0 {
				at++
			}
			continue
		}
		got, size := utf8.DecodeRune(s.data[at:])
		if got != r {
			return 0, s.uneditable(n)
		}
		at += size
	}
	return at, nil
}

func (s *source) uneditable(n *yaml.Node) error {
	return fmt.Errorf("line %d is written in a way that cannot be edited in place: edit the file by hand, then: lbctl reload", n.Line)
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

// blockScalarEnd follows the lines below | or > that are indented as the first. A line of
// spaces alone belongs to it if it has more of them (YAML 1.2.2, 8.1).
func (s *source) blockScalarEnd(n *yaml.Node, start int) (int, error) {
	indentation, end := 0, 0
	for at := s.lineEnd(start); at < len(s.data); at = s.lineEnd(at) {
		line := bytes.TrimRight(s.data[at:s.lineEnd(at)], "\r\n")
		spaces := len(line) - len(bytes.TrimLeft(line, " "))
		if spaces == len(line) && (indentation == 0 || spaces <= indentation) {
			continue
		}
		if indentation == 0 {
			indentation = spaces
		}
		if indentation == 0 || spaces < indentation {
			break
		}
		end = at + len(line)
	}
	if strings.TrimSpace(n.Value) == "" || end == 0 {
		return 0, s.uneditable(n)
	}
	return end, nil
}

// flowEnd is behind the bracket that closes a collection.
func (s *source) flowEnd(n *yaml.Node, start int) (int, error) {
	at := start + 1
	if len(n.Content) > 0 {
		var err error
		if at, err = s.end(n.Content[len(n.Content)-1]); err != nil {
			return 0, err
		}
	}
	for at < len(s.data) {
		switch s.data[at] {
		case ' ', '\t', '\r', '\n', ',', ':':
			at++
		case '#':
			at = s.lineEnd(at)
		case s.data[start] + 2: // '[' + 2 is ']', '{' + 2 is '}'
			return at + 1, nil
		default:
			return 0, s.uneditable(n)
		}
	}
	return 0, s.uneditable(n)
}

// lineEnd is behind the line break of the line that an offset is in.
func (s *source) lineEnd(at int) int {
	if end := bytes.IndexByte(s.data[at:], '\n'); end >= 0 {
		return at + end + 1
	}
	return len(s.data)
}

func (s *source) lineStart(at int) int { return bytes.LastIndexByte(s.data[:at], '\n') + 1 }

// rest is what stands behind an offset in its line, without the line break.
func (s *source) rest(at int) string {
	return strings.TrimRight(string(s.data[at:s.lineEnd(at)]), "\r\n")
}

// indented says whether nothing but spaces stands before an offset in its line.
func (s *source) indented(at int) bool {
	return len(bytes.TrimLeft(s.data[s.lineStart(at):at], " ")) == 0
}

// withComments moves behind the comment lines that follow a line's end and are
// indented deeper than a column: they are inside what ended there.
func (s *source) withComments(lineEnd, column int) int {
	for lineEnd < len(s.data) {
		line := s.data[lineEnd:s.lineEnd(lineEnd)]
		text := bytes.TrimLeft(line, " ")
		if len(text) == 0 || text[0] != '#' || len(line)-len(text) < column {
			break
		}
		lineEnd = s.lineEnd(lineEnd)
	}
	return lineEnd
}

// insertLines puts whole lines at the end of a line, with the file's line breaks.
func (s *source) insertLines(lineEnd int, lines []string) patch {
	br := "\n"
	if first := bytes.IndexByte(s.data, '\n'); first > 0 && s.data[first-1] == '\r' {
		br = "\r\n"
	}
	text := strings.Join(lines, br) + br
	if lineEnd > 0 && s.data[lineEnd-1] != '\n' {
		text = br + strings.TrimSuffix(text, br)
	}
	return patch{lineEnd, lineEnd, text}
}
