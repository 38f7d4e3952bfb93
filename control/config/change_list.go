package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Changes of lists: the vips, the reals of a vip.

// add puts an item at the end of the list that a mapping has under a key.
func (d *document) add(n *yaml.Node, key string, item *yaml.Node, order []string) error {
	list := valueOf(n, key)
	if list == nil || len(list.Content) == 0 {
		if !isBlock(n) {
			return d.set(n, key, sequenceOf(yaml.FlowStyle, item), order)
		}
		return d.set(n, key, sequenceOf(0, item), order)
	}
	if !isBlock(list) {
		return d.addFlow(list, item)
	}
	end, err := d.end(list)
	if err != nil {
		return err
	}
	last := d.withComments(d.lineEnd(end), list.Column)
	in := d.indents() // of what is there
	list.Content = append(list.Content, item)
	indentation := spaces(list.Column - 1)
	lines := indentLines(in.blockLines(sequenceOf(0, item)), indentation, indentation)
	return d.patch(d.insertLines(last, lines))
}

// addFlow adds to a list in brackets; if its last item has a line of its own, so
// has the new one.
func (d *document) addFlow(list, item *yaml.Node) error {
	last := list.Content[len(list.Content)-1]
	end, err := d.end(last)
	if err != nil {
		return err
	}
	list.Content = append(list.Content, item)
	text := flowText(item)
	rest := strings.TrimLeft(d.rest(end), " ")
	tail := strings.TrimLeft(strings.TrimPrefix(rest, ","), " ")
	if !d.indented(d.start(last)) || (tail != "" && tail[0] != '#') {
		return d.patch(patch{end, end, ", " + text})
	}
	indentation := spaces(last.Column - 1)
	if strings.HasPrefix(rest, ",") {
		return d.patch(d.insertLines(d.lineEnd(end), []string{indentation + text + ","}))
	}
	return d.patch(patch{end, end, ","}, d.insertLines(d.lineEnd(end), []string{indentation + text}))
}

// remove takes an item out of the list that a mapping has under a key. The last
// one leaves [].
func (d *document) remove(n *yaml.Node, key string, index int) error {
	list := valueOf(n, key)
	item := list.Content[index]
	start := d.start(item)
	end, err := d.end(item)
	if err != nil {
		return err
	}
	if !isBlock(list) {
		cut, err := d.cutFlow(list, index, 1, start, end)
		if err != nil {
			return err
		}
		list.Content = slices.Delete(list.Content, index, index+1)
		return d.patch(cut)
	}
	dash, err := d.dash(list, item)
	if err != nil {
		return err
	}
	patches := []patch{{dash, d.withComments(d.lineEnd(end), list.Column), ""}}
	if len(list.Content) == 1 {
		colon, err := d.afterKey(n.Content[indexOf(n, key)])
		if err != nil {
			return err
		}
		patches = append(patches, patch{colon, colon, " []"})
	}
	list.Content = slices.Delete(list.Content, index, index+1)
	return d.patch(patches...)
}

// dash is the start of the line with an item's dash: its own line, or one above if
// the dash stands alone.
func (d *document) dash(list, item *yaml.Node) (int, error) {
	for line := item.Line; line >= list.Line; line-- {
		at := d.lines[line-1]
		text := d.rest(at)
		if len(text) >= list.Column && strings.TrimLeft(text[:list.Column], " ") == "-" {
			return at, nil
		}
	}
	return 0, d.uneditable(item)
}

// lengthen puts a mapping in the place of an item that is a plain value; what the
// value was is in the mapping's first key.
func (d *document) lengthen(list *yaml.Node, index int, mapping *yaml.Node) error {
	item := list.Content[index]
	start := d.start(item)
	end, err := d.end(item)
	if err != nil {
		return err
	}
	list.Content[index] = mapping
	if !isBlock(mapping) {
		return d.patch(patch{start, end, flowText(mapping)})
	}
	indentation := spaces(item.Column - 1)
	lines := d.indents().blockLines(mapping)
	return d.patch(patch{start, end, lines[0]}, d.insertLines(d.lineEnd(end), indentLines(lines[1:], indentation, indentation)))
}

// likeNeighbours is the style of a mapping in a list: block if those that are
// there are.
func likeNeighbours(list *yaml.Node) yaml.Style {
	style := yaml.FlowStyle
	if list == nil || !isBlock(list) {
		return style
	}
	for _, item := range list.Content {
		if item.Kind != yaml.MappingNode {
			continue
		}
		if !isBlock(item) {
			return yaml.FlowStyle
		}
		style = 0
	}
	return style
}
