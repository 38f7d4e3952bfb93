package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// document is a file under edit. Every change does two things: it patches the
// bytes, and it changes the tree; then the patched bytes are read again and must
// give that tree. So a change either means exactly what it should, or fails.
type document struct {
	*source
	root *yaml.Node
}

var errUnread = errors.New("the edit would have changed more than it should: edit the file by hand, then: lbctl reload")

func openDocument(data []byte) (*document, error) {
	root, err := load(data)
	if err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	if root == nil || root.Kind != yaml.MappingNode {
		return nil, errors.New("the file has no legs yet: write them by hand, then: lbctl reload")
	}
	return &document{newSource(data), root}, nil
}

// patch goes from the tree's bytes to those of the tree as it was changed.
func (d *document) patch(patches ...patch) error {
	next, err := openDocument(d.apply(patches))
	if err != nil || !same(d.root, next.root) {
		return errUnread
	}
	*d = *next
	return nil
}

// afterKey is behind the colon of a mapping's key.
func (d *document) afterKey(key *yaml.Node) (int, error) {
	at, err := d.end(key)
	if err != nil {
		return 0, err
	}
	at += len(d.data[at:]) - len(bytes.TrimLeft(d.data[at:], " "))
	if at >= len(d.data) || d.data[at] != ':' {
		return 0, d.uneditable(key)
	}
	return at + 1, nil
}

// set gives a key of a mapping a value; order is where a new key goes.
func (d *document) set(n *yaml.Node, key string, value *yaml.Node, order []string) error {
	if at := indexOf(n, key); at >= 0 {
		return d.replace(n, at, value)
	}
	return d.insertKey(n, key, value, order)
}

// replace changes a value that is there. The new one is in one line, or a list
// with dashes.
func (d *document) replace(n *yaml.Node, at int, value *yaml.Node) error {
	key, old := n.Content[at], n.Content[at+1]
	colon, err := d.afterKey(key)
	if err != nil {
		return err
	}
	start := d.start(old)
	end, err := d.end(old)
	if err != nil {
		return err
	}
	var patches []patch
	switch {
	case isBlock(value) && len(value.Content) > 0:
		if isBlock(old) {
			return d.uneditable(old)
		}
		in := d.indents()
		indentation := spaces(key.Column - 1 + in.list)
		lines := indentLines(in.blockLines(value), indentation, indentation)
		patches = []patch{{colon, end, ""}, d.insertLines(d.lineEnd(end), lines)}
	case isBlock(old) && len(old.Content) > 0:
		// Its lines go; a comment beside the key stays.
		patches = []patch{{colon, colon, " " + flowText(value)}, {d.lineStart(start), d.lineEnd(end), ""}}
	case start == end:
		patches = []patch{{colon, colon, " " + flowText(value)}}
	default:
		patches = []patch{{start, end, flowText(value)}}
	}
	n.Content[at+1] = value
	return d.patch(patches...)
}

// insertKey adds a key behind the last of those before it in order.
func (d *document) insertKey(n *yaml.Node, key string, value *yaml.Node, order []string) error {
	before := len(n.Content) - 2
	for _, k := range order {
		if k == key {
			break
		}
		if at := indexOf(n, k); at >= 0 {
			before = at
		}
	}
	if before < 0 {
		return d.uneditable(n)
	}
	end, err := d.end(n.Content[before+1])
	if err != nil {
		return err
	}
	in := d.indents() // of what is there
	n.Content = slices.Insert(n.Content, before+2, scalar(key), value)
	if !isBlock(n) {
		return d.patch(patch{end, end, ", " + scalarText(key) + ": " + flowText(value)})
	}
	indentation := spaces(n.Column - 1)
	lines := indentLines(in.pair(key, value), indentation, indentation)
	return d.patch(d.insertLines(d.lineEnd(end), lines))
}

// unset takes a key out of a mapping that has others.
func (d *document) unset(n *yaml.Node, key string) error {
	at := indexOf(n, key)
	if at < 0 {
		return nil
	}
	start := d.start(n.Content[at])
	end, err := d.end(n.Content[at+1])
	if err != nil {
		return err
	}
	switch {
	case !isBlock(n):
		cut, err := d.cutFlow(n, at, 2, start, end)
		if err != nil {
			return err
		}
		n.Content = slices.Delete(n.Content, at, at+2)
		return d.patch(cut)
	case d.indented(start):
		n.Content = slices.Delete(n.Content, at, at+2)
		return d.patch(patch{d.lineStart(start), d.lineEnd(end), ""})
	case at+2 < len(n.Content): // behind a dash: the next key takes its place
		next := d.start(n.Content[at+2])
		n.Content = slices.Delete(n.Content, at, at+2)
		return d.patch(patch{start, next, ""})
	}
	return d.uneditable(n)
}

// cutFlow is what goes with an element (of width nodes, at an index) of a
// collection in brackets: its comma, and its line if nothing else is there.
func (d *document) cutFlow(n *yaml.Node, at, width, start, end int) (patch, error) {
	if open := d.data[d.start(n)]; open != '[' && open != '{' {
		return patch{}, d.uneditable(n) // [a: b] is a mapping without brackets of its own
	}
	behind := end // the comma, if there is one
	if rest := d.rest(end); strings.HasPrefix(strings.TrimLeft(rest, " "), ",") {
		behind += strings.IndexByte(rest, ',') + 1
	}
	tail := strings.TrimLeft(d.rest(behind), " ")
	if d.indented(start) && (tail == "" || tail[0] == '#') && d.lineEnd(behind) < len(d.data) {
		return patch{d.lineStart(start), d.lineEnd(behind), ""}, nil
	}
	if at+width < len(n.Content) {
		if next := d.start(n.Content[at+width]); bytes.IndexByte(d.data[start:next], '\n') < 0 {
			return patch{start, next, ""}, nil
		}
		return patch{start, behind, ""}, nil
	}
	if at > 0 {
		previous, err := d.end(n.Content[at-1])
		if err != nil {
			return patch{}, err
		}
		if bytes.IndexByte(d.data[previous:start], '\n') < 0 {
			return patch{previous, end, ""}, nil
		}
	}
	return patch{start, behind, ""}, nil
}

// indents is how the file's vips are indented.
func (d *document) indents() indents {
	in := indents{item: 2, list: 2}
	at := indexOf(d.root, "vips")
	if at < 0 || !isBlock(d.root.Content[at+1]) || len(d.root.Content[at+1].Content) == 0 {
		return in
	}
	vips := d.root.Content[at+1]
	in.list = min(max(vips.Column-d.root.Content[at].Column, 0), 8)
	for _, vip := range vips.Content {
		if isBlock(vip) && len(vip.Content) > 0 {
			in.item = min(max(vip.Column-vips.Column, 2), 8)
			if showsIndents(vip) {
				in.list = min(max(valueOf(vip, "reals").Column-vip.Column, 0), 8)
				return in
			}
		}
	}
	return in
}

// showsIndents says whether a vip has a list of reals with dashes.
func showsIndents(vip *yaml.Node) bool {
	if !isBlock(vip) || len(vip.Content) == 0 {
		return false
	}
	reals := valueOf(vip, "reals")
	return reals != nil && isBlock(reals) && len(reals.Content) > 0
}
