package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// decoder reads nodes and gathers every fault instead of stopping at the first.
type decoder struct {
	report
	lines [][]byte
	bare  map[Place]Place // IPv6 addresses without quotes: where they are read -> where they are
}

func (d *decoder) failNode(n *yaml.Node, path, remedy, format string, args ...any) {
	d.failAt(place(n), path, remedy, format, args...)
}

// A reader reads the value of a path.
type reader func(n *yaml.Node, path string)

// fields are a mapping's keys and what reads each value.
type fields map[string]reader

// mapping reads a mapping strictly: no unknown keys, none twice. Nothing written
// is a mapping without keys.
func (d *decoder) mapping(n *yaml.Node, path string, keys fields) bool {
	if isNull(n) {
		return true
	}
	if n.Kind != yaml.MappingNode {
		d.failNode(n, path, "", "keys with values are needed here")
		return false
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if key.Kind != yaml.ScalarNode {
			d.failNode(key, path, "", "a key is one word")
			continue
		}
		if line, ok := seen[key.Value]; ok {
			d.failNode(key, at, "", "already given at line %d", line)
			continue
		}
		seen[key.Value] = key.Line
		read, ok := keys[key.Value]
		if !ok {
			d.failNode(key, at, "", "unknown key%s", didYouMean(key.Value, names(keys)))
			continue
		}
		d.places[at] = place(value)
		read(value, at)
	}
	return true
}

func names(keys fields) []string {
	list := make([]string, 0, len(keys))
	for key := range keys {
		list = append(list, key)
	}
	return list
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// sequence reads a list; nothing written is an empty list.
func (d *decoder) sequence(n *yaml.Node, path string, item reader) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.failNode(n, path, "", "a list is needed here")
		return
	}
	for i, child := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.places[at] = place(child)
		item(child, at)
	}
}

// valueOf is a mapping's value of a key, nil if it has none.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	if at := indexOf(n, key); at >= 0 {
		return n.Content[at+1]
	}
	return nil
}

// indexOf is where a mapping has a key; -1: nowhere.
func indexOf(n *yaml.Node, key string) int {
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Kind == yaml.ScalarNode && n.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// byName reads a mapping from names that the file has defined.
func byName[T any](d *decoder, names []string, to *map[string]T, item func(*T) reader) reader {
	return func(n *yaml.Node, path string) {
		keys := fields{}
		for _, name := range names {
			keys[name] = func(n *yaml.Node, path string) {
				var value T
				item(&value)(n, path)
				if *to == nil {
					*to = map[string]T{}
				}
				(*to)[name] = value
			}
		}
		d.mapping(n, path, keys)
	}
}

// keys reads a mapping.
func (d *decoder) keys(keys fields) reader {
	return func(n *yaml.Node, path string) { d.mapping(n, path, keys) }
}

// list reads a list of values.
func list[T any](d *decoder, to *[]T, item func(*T) reader) reader {
	return func(n *yaml.Node, path string) {
		*to = nil
		d.sequence(n, path, func(n *yaml.Node, path string) {
			var value T
			item(&value)(n, path)
			*to = append(*to, value)
		})
	}
}

// some reads one value, or a list of one or more.
func some[T any](d *decoder, to *[]T, item func(*T) reader) reader {
	return func(n *yaml.Node, path string) {
		if n.Kind == yaml.SequenceNode {
			if list(d, to, item)(n, path); len(n.Content) == 0 {
				d.failNode(n, path, "", "at least one is needed here")
				*to = make([]T, 1) // what could not be read is not missing
			}
			return
		}
		*to = make([]T, 1)
		item(&(*to)[0])(n, path)
	}
}

// required says that a mapping lacks a key.
func (d *decoder) required(n *yaml.Node, path, key, hint string) {
	if valueOf(n, key) == nil {
		d.failNode(n, join(path, key), "", "required: %s", hint)
	}
}

func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.failNode(n, path, "", "one value is needed here")
		return "", false
	}
	return n.Value, true
}

// address reads the text of a vip or real.
func (d *decoder) address(n *yaml.Node, path, what string, read func(string) error) {
	if at, ok := d.bare[place(n)]; ok {
		delete(d.bare, place(n))
		d.failBare(at, path, what)
		return
	}
	if isBare(n) {
		d.failBare(place(n), path, what)
		return
	}
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	if err := read(text); err != nil {
		d.failNode(n, path, "", "%v", err)
	}
}

func (d *decoder) str(to *string) reader {
	return func(n *yaml.Node, path string) {
		if s, ok := d.text(n, path); ok {
			*to = s
		}
	}
}

// word reads a text that is not empty.
func (d *decoder) word(to *string) reader {
	return func(n *yaml.Node, path string) {
		if d.str(to)(n, path); n.Kind == yaml.ScalarNode && n.Value == "" && !isNull(n) {
			d.failNode(n, path, "", "a name is needed here")
		}
	}
}

const maxLabel = 63

// label reads a name that people may give. Empty is none.
func (d *decoder) label(to *string) reader {
	return func(n *yaml.Node, path string) {
		if n.Kind == yaml.ScalarNode && n.Value == "" && !isNull(n) {
			*to = ""
			return
		}
		d.name(to)(n, path)
	}
}

// name reads a name that people give: it must not look like an address, since it may
// be used wherever one is asked for.
func (d *decoder) name(to *string) reader {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		if why := badLabel(s); why != "" {
			d.failNode(n, path, "", "%q: %s", s, why)
			return
		}
		*to = s
	}
}

// badLabel says why a text cannot be a name; empty: it can.
func badLabel(s string) string {
	odd := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.", r)
	}
	if s == "" || len(s) > maxLabel || strings.ContainsFunc(s, odd) || strings.HasPrefix(s, "-") {
		return fmt.Sprintf("a name has letters, digits, - _ . and at most %d bytes", maxLabel)
	}
	if _, err := parseAddrPort(s, 0); err == nil {
		return "a name must not be an address"
	}
	return ""
}

// choice reads one of several words into a value.
func choice[T any](d *decoder, to *T, words []string, values []T) reader {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		at := slices.Index(words, s)
		if at < 0 {
			d.failNode(n, path, "", "%q: write %s", s, orList(words))
			return
		}
		*to = values[at]
	}
}

// orList is "a, b or c", andList "a, b and c".
func orList(words []string) string  { return listOf(words, " or ") }
func andList(words []string) string { return listOf(words, " and ") }

func listOf(words []string, lastly string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + lastly + words[last]
}

func (d *decoder) boolean(to *bool, yes, no string) reader {
	return choice(d, to, []string{yes, no}, []bool{true, false})
}

func (d *decoder) integer(to *int, least, most int) reader {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		number, err := decimal(s, least, most)
		if err != nil {
			d.failNode(n, path, "", "%v", err)
			return
		}
		*to = number
	}
}

func (d *decoder) duration(to *time.Duration, least, most, step time.Duration) reader {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		value, err := time.ParseDuration(s)
		switch {
		case err != nil:
			d.failNode(n, path, "", "%q: write a time with its unit, such as 500ms, 2s or 15m", s)
		case value < least || value > most:
			d.failNode(n, path, "", "%s: write a time from %s to %s", s, formatDuration(least), formatDuration(most))
		case value%step != 0:
			d.failNode(n, path, "", "%s: write a multiple of %s", s, formatDuration(step))
		default:
			*to = value
		}
	}
}
