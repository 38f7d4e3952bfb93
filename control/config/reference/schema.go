package reference

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Type says what a value may be.
type Type interface {
	// schema is the type as JSON Schema.
	schema(*schemas) object
	// text says in a few words what a value may be; empty: the key's doc does.
	text() string
}

// The types of values.
type (
	Words   []string
	Number  struct{ Least, Most int }
	Time    struct{ Least, Most, Step time.Duration }
	Percent struct{ Most int }
	Text    struct{ Pattern string }
	Status  struct{}
	Command struct{} // a program's whole path, and its arguments
	// A Mapping has these keys and no others. One with a name is written once.
	Mapping struct {
		Name string
		Keys []Key
	}
	// Named is a mapping from names that the user gives. Name is the page's example.
	Named struct {
		Of   Mapping
		Name string
		More []string // further examples, as lines of YAML
	}
	List struct {
		Of   Type
		More []string
	}
	// Either has a short form and a long one.
	Either struct{ Short, Long Type }
	// Forms are mappings that are told apart by their first keys.
	Forms []Mapping
	// Several is a list of at least some values, in one line.
	Several struct {
		Of    Type
		Least int
	}
	// Names is a mapping from names that the file has defined, in one line.
	Names struct{ Of Type }
)

type object = map[string]any

// schemas gathers the definitions that a schema refers to.
type schemas struct{ definitions object }

// Schema is the file's JSON Schema (draft 7, which editors know best).
func Schema() []byte {
	s := &schemas{object{}}
	root := File().schema(s)
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "Tarpon's configuration, /etc/tarpon/tarpon.yaml"
	root["definitions"] = s.definitions
	data, err := json.MarshalIndent(root, "", " ")
	if err != nil {
		panic(err) // maps, strings and numbers
	}
	return append(data, '\n')
}

func (w Words) schema(*schemas) object {
	if w.boolean() {
		return object{"type": "boolean"}
	}
	return object{"enum": []string(w)}
}

func (w Words) boolean() bool { return len(w) == 2 && w[0] == "true" }

func (n Number) schema(*schemas) object {
	return object{"type": "integer", "minimum": n.Least, "maximum": n.Most}
}

func (Time) schema(*schemas) object {
	return object{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`}
}

func (Percent) schema(*schemas) object { return object{"type": "string", "pattern": "^[0-9]+%$"} }

func (t Text) schema(*schemas) object {
	o := object{"type": "string"}
	if t.Pattern != "" {
		o["pattern"] = t.Pattern
	}
	return o
}

func (Status) schema(*schemas) object {
	one := []any{
		object{"type": "integer", "minimum": 100, "maximum": 599},
		object{"type": "string", "pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$"},
	}
	return object{"anyOf": append(one, object{"type": "array", "minItems": 1, "items": object{"anyOf": one}})}
}

func (Command) schema(*schemas) object {
	return object{
		"type": "array", "minItems": 1, "items": []any{object{"type": "string", "pattern": "^/"}},
		"additionalItems": object{"type": []string{"string", "number", "boolean"}},
	}
}

func (l List) schema(s *schemas) object {
	return object{"type": []string{"array", "null"}, "items": l.Of.schema(s)}
}

// forms are those of an item that has keys.
func (l List) forms() []Mapping {
	switch item := l.Of.(type) {
	case Either:
		return []Mapping{item.Long.(Mapping)}
	case Forms:
		return item
	}
	return []Mapping{l.Of.(Mapping)}
}

func (n Named) schema(s *schemas) object {
	return object{"type": "object", "additionalProperties": n.Of.schema(s)}
}

func (e Either) schema(s *schemas) object {
	return object{"anyOf": []object{e.Short.schema(s), e.Long.schema(s)}}
}

func (f Forms) schema(s *schemas) object {
	var forms []object
	for _, form := range f {
		if first := &form.Keys[0]; !first.Required {
			form.Keys = slices.Clone(form.Keys)
			form.Keys[0].Required = true // it makes the form
		}
		forms = append(forms, form.schema(s))
	}
	return object{"anyOf": forms}
}

func (l Several) schema(s *schemas) object {
	return object{"type": "array", "minItems": l.Least, "items": l.Of.schema(s)}
}

func (n Names) schema(s *schemas) object {
	return object{"type": "object", "additionalProperties": n.Of.schema(s)}
}

func (m Mapping) schema(s *schemas) object {
	if m.Name == "" {
		return m.written(s)
	}
	if _, ok := s.definitions[m.Name]; !ok {
		s.definitions[m.Name] = object{} // while it is being written
		s.definitions[m.Name] = m.written(s)
	}
	return object{"$ref": "#/definitions/" + m.Name}
}

func (m Mapping) written(s *schemas) object {
	properties := object{}
	var required []string
	var conditions []object
	for _, key := range m.Keys {
		properties[key.Name] = key.schema(s)
		if key.Required && key.Only == nil {
			required = append(required, key.Name)
		}
		if key.Required && key.Only != nil {
			conditions = append(conditions, object{
				"if":   object{"properties": object{"type": object{"enum": key.Only}}},
				"then": object{"required": []string{key.Name}},
			})
		}
		if key.Only != nil {
			conditions = append(conditions, object{
				"if":   object{"required": []string{key.Name}},
				"then": object{"properties": object{"type": object{"enum": key.Only}}},
			})
		}
	}
	o := object{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		o["required"] = required
	}
	if conditions != nil {
		o["allOf"] = conditions
	}
	return o
}

func (k Key) schema(s *schemas) object {
	o := k.Type.schema(s)
	if _, ok := o["$ref"]; ok {
		o = object{"allOf": []object{o}} // beside a reference nothing counts
	}
	if doc := k.about(); doc != "" {
		o["description"] = doc
	}
	if value, ok := k.defaultValue(); ok {
		o["default"] = value
	}
	return o
}

// defaultValue is the default as JSON.
func (k Key) defaultValue() (any, bool) {
	switch t := k.Type.(type) {
	case Mapping:
		return object{}, k.Default != ""
	case Number:
		n, err := strconv.Atoi(k.Default)
		return n, err == nil
	case Several:
		return []any{}, k.Default != ""
	case Words:
		if t.boolean() {
			return k.Default == "true", k.Default != ""
		}
	}
	return strings.Trim(k.Default, `"`), k.Default != ""
}

// about is everything about a key in one line.
func (k Key) about() string {
	var parts []string
	if text := k.Type.text(); text != "" {
		parts = append(parts, text)
	}
	if k.Only != nil {
		parts = append(parts, "of type "+strings.Join(k.Only, ", "))
	}
	if k.Doc != "" {
		parts = append(parts, k.Doc)
	}
	if k.Required {
		parts = append(parts, "required")
	}
	return strings.Join(parts, "; ")
}

func (w Words) text() string {
	if w.boolean() {
		return ""
	}
	return strings.Join(w, " | ")
}

func (n Number) text() string {
	if n.Least == n.Most {
		return ""
	}
	return fmt.Sprintf("%d to %d", n.Least, n.Most)
}

func (t Time) text() string    { return short(t.Least) + " to " + short(t.Most) }
func (p Percent) text() string { return fmt.Sprintf("0%% to %d%%", p.Most) }
func (Text) text() string      { return "" }
func (Status) text() string    { return "" }
func (Command) text() string   { return "" }
func (Mapping) text() string   { return "" }
func (Named) text() string     { return "" }
func (List) text() string      { return "" }
func (Either) text() string    { return "" }
func (Forms) text() string     { return "" }
func (Names) text() string     { return "" }
func (Several) text() string   { return "" }

// short is 1h for 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
