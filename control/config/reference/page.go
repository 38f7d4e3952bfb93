package reference

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed page.md
var frame string

// Page is docs/config.md.
func Page() []byte {
	return []byte(strings.NewReplacer("{{sample}}\n", Sample(), "{{pair}}\n", PairFile).Replace(frame))
}

// Sample is a file with every key, its value the default where it has one, and what
// it is for. It means what it would without the defaults.
func Sample() string {
	var s sample
	s.mapping(File(), "", "")
	return s.String()
}

// sample writes YAML with its comments in a column of their own.
type sample struct{ strings.Builder }

const (
	commentColumn = 40
	lastColumn    = 92
)

// mapping writes keys below each other; dash is before the first of a list's item.
func (s *sample) mapping(m Mapping, indent, dash string) {
	for i, key := range m.Keys {
		if indent+dash == "" && i > 0 {
			s.WriteString("\n") // between sections
		}
		if key.Only != nil && !slices.Contains(key.Only, m.Keys[0].Example) { // another type's
			s.line(indent+"# "+key.Name+": "+key.shown(), key.about())
			continue
		}
		s.key(key, indent+dash)
		indent, dash = indent+strings.Repeat(" ", len(dash)), ""
	}
}

func (s *sample) key(key Key, indent string) {
	inner := strings.ReplaceAll(indent, "-", " ") + "  "
	switch t := key.Type.(type) {
	case Named:
		s.line(indent+key.Name+":", key.about())
		s.line(inner+t.Name+":", "")
		s.mapping(t.Of, inner+"  ", "")
		s.lines(inner, t.More)
	case List:
		s.line(indent+key.Name+":", key.about())
		for _, form := range t.forms() {
			s.mapping(form, inner, "- ")
		}
		s.lines(inner, t.More)
	case Mapping:
		if key.Default != "" { // {}: its keys were told before
			s.line(indent+key.Name+": "+key.Default, key.about())
			return
		}
		s.line(indent+key.Name+":", key.about())
		s.mapping(t, inner, "")
	default:
		s.line(indent+key.Name+": "+key.shown(), key.about())
	}
}

func (s *sample) lines(indent string, lines []string) {
	for _, line := range lines {
		text, comment, _ := strings.Cut(line, " # ")
		s.line(indent+text, comment)
	}
}

// line writes a line with its comment, which may need further ones.
func (s *sample) line(text, comment string) {
	if comment != "" && len(text) > lastColumn-20 { // no room beside it
		s.WriteString(text + "\n")
		text = ""
	}
	for comment != "" {
		text = fmt.Sprintf("%-*s # ", commentColumn-1, text)
		n := len(comment)
		if room := lastColumn - len(text); n > room {
			n = strings.LastIndexByte(comment[:room+1], ' ')
		}
		fmt.Fprintf(s, "%s%s\n", text, comment[:n])
		text, comment = "", strings.TrimSpace(comment[n:])
		if comment == "" {
			return
		}
	}
	s.WriteString(text + "\n")
}
