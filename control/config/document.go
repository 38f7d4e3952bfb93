package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxFileSize bounds what parsing costs: every few bytes can be a node.
const maxFileSize = 8 << 20

// document reads bytes into nodes. It takes what means the same to every reader:
// one document, without aliases, tags or odd line breaks. The root is nil for an
// empty file, or after a fault.
func (d *decoder) document(data []byte) *yaml.Node {
	d.lines = bytes.Split(data, []byte("\n"))
	if !d.plainText(data) {
		return nil
	}
	root, err := load(data)
	if err != nil {
		root, err = d.repair(err)
	}
	if err != nil {
		d.syntax(err)
		return nil
	}
	if root == nil || isNull(root) {
		return nil
	}
	if !d.onlyValues(root) {
		return nil
	}
	return root
}

// plainText refuses bytes that YAML and people count differently in lines and
// columns, and tabs, whose width is anybody's guess.
func (d *decoder) plainText(data []byte) bool {
	switch {
	case len(data) > maxFileSize:
		d.failAt(Place{}, "", "", "the file has %d bytes, more than %d MiB", len(data), maxFileSize>>20)
		return false
	case !utf8.Valid(data):
		d.failAt(Place{}, "", "save it as UTF-8", "the file is not UTF-8 text")
		return false
	case bytes.HasPrefix(data, []byte("\ufeff")):
		d.failAt(Place{1, 1}, "", "save it as UTF-8 without one", "the file begins with a byte order mark")
		return false
	}
	before := len(d.list)
	for i, line := range d.lines {
		text := strings.TrimSuffix(string(line), "\r")
		if at := strings.IndexFunc(text, isOddControl); at >= 0 {
			d.failAt(Place{i + 1, utf8.RuneCountInString(text[:at]) + 1}, "", "take it out", "a control character or an odd line break")
		}
		rest := strings.TrimLeft(text, " \t")
		indentation := text[:len(text)-len(rest)]
		if at := strings.IndexByte(indentation, '\t'); at >= 0 && rest != "" && rest[0] != '#' {
			d.failAt(Place{i + 1, at + 1}, "", "indent with spaces", "a tab in the indentation")
		}
	}
	return len(d.list) == before
}

func isOddControl(r rune) bool {
	return (r < ' ' && r != '\t') || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == 0x2028 || r == 0x2029 || r == 0xfeff
}

// load is the root node of a file that has at most one document; nil: it has none.
func load(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, more yaml.Node
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	switch err := decoder.Decode(&more); {
	case errors.Is(err, io.EOF):
		return document.Content[0], nil
	case err != nil:
		return nil, err
	}
	return nil, &yaml.LoadError{Message: "a second document begins here, only one is read", Mark: yaml.Mark{Line: more.Line, Column: 1}}
}

// onlyValues refuses what makes one place of the file change another.
func (d *decoder) onlyValues(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode, n.Anchor != "":
		d.failAt(place(n), "", "write the value out",
			"anchors (&) and aliases (*) are not taken: an edit of one place would change another")
		return false
	case n.Style&yaml.TaggedStyle != 0:
		d.failAt(place(n), "", "write the value alone", "tags (%s) are not taken", n.Tag)
		return false
	}
	ok := true
	for _, child := range n.Content {
		ok = d.onlyValues(child) && ok
	}
	return ok
}

// bareIPv6 is an IPv6 address in brackets with a port or protocol but without
// quotes: YAML takes the brackets for a list, the commonest of all syntax errors.
var bareIPv6 = regexp.MustCompile(`(?:^|[\s,\[{])(\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\](?::[0-9]+(?:/[a-z]+)?|/[a-z0-9]+))`)

// maxBareLine bounds lines that are repaired and shown: people wrote them.
const maxBareLine = 500

// repair reads the file as if its bare IPv6 addresses were quoted, so that they
// are told at their paths, and other faults with them.
func (d *decoder) repair(cause error) (*yaml.Node, error) {
	d.bare = map[Place]Place{}
	lines := make([][]byte, len(d.lines))
	for i, line := range d.lines {
		lines[i] = line
		if len(line) > maxBareLine {
			continue
		}
		code, _, _ := bytes.Cut(line, []byte(" #"))
		matches := bareIPv6.FindAllSubmatchIndex(code, -1)
		for k := len(matches) - 1; k >= 0; k-- {
			start, end := matches[k][2], matches[k][3]
			column := utf8.RuneCount(line[:start]) + 1
			d.bare[Place{i + 1, column + 2*k}] = Place{i + 1, column}
			lines[i] = fmt.Appendf(nil, "%s%q%s", lines[i][:start], lines[i][start:end], lines[i][end:])
		}
	}
	if len(d.bare) == 0 {
		return nil, cause
	}
	root, err := load(bytes.Join(lines, []byte("\n")))
	if err != nil {
		d.failUnread()
	}
	return root, err
}

// failUnread tells those addresses that were not read as a vip's or a real's.
func (d *decoder) failUnread() {
	for _, at := range d.bare {
		d.failBare(at, "", "address")
	}
}

// isBare says whether a node is an IPv6 address in brackets that YAML took for a
// list, or, with a port, for a mapping with a list for a key.
func isBare(n *yaml.Node) bool {
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	return n.Kind == yaml.SequenceNode && len(n.Content) == 1 && strings.Count(n.Content[0].Value, ":") > 1
}

// failBare shows an IPv6 address that lacks its quotes.
func (d *decoder) failBare(at Place, path, what string) {
	line := strings.TrimSuffix(string(d.lines[at.Line-1]), "\r")
	text := string([]rune(line)[at.Column-1:])
	// What is bare ends where the item of the list or the line does.
	if end := strings.IndexByte(text, ']'); end > 0 {
		rest := text[end+1:]
		text = text[:end+1] + rest[:len(rest)-len(strings.TrimLeft(rest, ":/0123456789abcdefghijklmnopqrstuvwxyz"))]
	}
	if len(line) > maxBareLine {
		line = ""
	}
	d.add(Error{
		Place: at, Path: path, Message: fmt.Sprintf("an IPv6 %s must be quoted in YAML", what),
		Remedy: fmt.Sprintf("write %q", text), Excerpt: line,
	})
}

func (d *decoder) syntax(err error) {
	at, message := Place{1, 1}, err.Error()
	var cause *yaml.LoadError
	if errors.As(err, &cause) && cause.Mark.Line > 0 {
		at, message = Place{cause.Mark.Line, max(cause.Mark.Column, 1)}, cause.Message
		if at.Line > len(d.lines) { // the end of a file whose last line has none
			at = Place{len(d.lines), utf8.RuneCount(d.lines[len(d.lines)-1]) + 1}
		}
		if cause.ContextMsg != "" {
			message += " " + cause.ContextMsg
		}
	}
	d.failAt(at, "", "", "not YAML: %s", message)
}

func place(n *yaml.Node) Place { return Place{n.Line, n.Column} }

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
