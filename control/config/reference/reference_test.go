package reference

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tarpon-lb/tarpon/control/config"
	"go.yaml.in/yaml/v4"
)

const repository = "../../../"

var update = flag.Bool("update", false, "write the page and the schema")

// TestWritten: what is in the repository is what the reference says.
func TestWritten(t *testing.T) {
	for path, want := range map[string][]byte{
		"docs/config.md": Page(), "packaging/tarpon.schema.json": Schema(),
	} {
		if *update {
			if err := os.WriteFile(repository+path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(string(want), string(read(t, path))); diff != "" {
			t.Errorf("%s is stale, run: go generate ./control/config/reference\n%s", path, diff)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(repository + path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestDefaults: the sample means the same to the parser without what is a default.
func TestDefaults(t *testing.T) {
	tree := sampleTree(t)
	told := parse(t, tree)
	eachKey(t, tree, func(k place) {
		if k.Default != "" && k.Example == "" {
			delete(k.in, k.Name)
		}
	})
	bare := parse(t, tree)
	if err := errors.Join(told.err, bare.err); err != nil {
		t.Fatal(err)
	}
	if !told.config.Equal(bare.config) {
		t.Error(cmp.Diff(string(config.Export(bare.config)), string(config.Export(told.config))))
	}
}

// TestKeys: the parser takes a mapping's keys and no others, and misses those that
// are required.
func TestKeys(t *testing.T) {
	tree := sampleTree(t)
	eachMapping(t, tree, func(path string, m Mapping, in map[string]any) {
		t.Run("keys of "+path, func(t *testing.T) {
			in["unlike-any"] = "x"
			message := parse(t, tree).at(join(path, "unlike-any"))
			delete(in, "unlike-any")
			_, list, _ := strings.Cut(message, "unknown key; there are: ")
			want := keyNames(m)
			slices.Sort(want)
			if diff := cmp.Diff(want, strings.Split(list, ", ")); diff != "" {
				t.Errorf("reference and parser: %s (parser said %q)", diff, message)
			}
		})
	})
	eachKey(t, sampleTree(t), func(k place) {
		t.Run(k.path, func(t *testing.T) {
			defer k.restore()()
			delete(k.in, k.Name)
			if missed := strings.HasPrefix(parse(t, k.root).at(k.path), "required"); missed != k.Required {
				t.Errorf("required is %t, the parser says %t", k.Required, missed)
			}
		})
	})
}

// TestValues: the parser takes what a type says and refuses what is next to it, and
// so does the schema.
func TestValues(t *testing.T) {
	schema := compile(t)
	eachKey(t, sampleTree(t), func(k place) {
		if k.path == "checks.web.type" {
			return // other keys depend on it: TestOnly
		}
		good, bad := probes(k.Type)
		defer k.restore()()
		for _, probe := range good {
			k.in[k.Name] = probe
			if message := parse(t, k.root).at(k.path); strings.Contains(message, "write") {
				t.Errorf("%s: %v: the parser says %q", k.path, probe, message)
			}
			if err := schema.Validate(asJSON(t, k.root)); err != nil {
				t.Errorf("%s: %v: the schema says %v", k.path, probe, err)
			}
		}
		for _, probe := range bad {
			k.in[k.Name] = probe
			if message := parse(t, k.root).at(k.path); message == "" {
				t.Errorf("%s: %v: the parser takes it", k.path, probe)
			} else if words, ok := k.Type.(Words); ok && !slices.Equal(slices.Sorted(slices.Values(words)), wordsIn(message)) {
				t.Errorf("%s: the parser has other words: %s", k.path, message)
			}
			if _, ok := k.Type.(Time); ok {
				continue // a pattern has no order
			}
			if schema.Validate(asJSON(t, k.root)) == nil {
				t.Errorf("%s: %v: the schema takes it", k.path, probe)
			}
		}
	})
}

// probes are the ends of what a type takes, and what is behind them.
func probes(typ Type) (good, bad []any) {
	switch typ := typ.(type) {
	case Words:
		for _, word := range typ {
			good = append(good, word)
			if typ.boolean() {
				good[len(good)-1] = word == "true"
			}
		}
		return good, []any{"unlike-any"}
	case Number:
		least, most := typ.Least, typ.Most
		if most == 128 { // of a prefix, in the sample of an IPv4 address
			return []any{least, 32}, []any{least - 1, most + 1}
		}
		return []any{least, most}, []any{least - 1, most + 1}
	case Time:
		return []any{typ.Least.String(), typ.Most.String()},
			[]any{(typ.Least - time.Nanosecond).String(), (typ.Most + typ.Step).String(), (typ.Least + typ.Step/10).String()}
	case Percent:
		return []any{"0%", strconv.Itoa(typ.Most) + "%"}, []any{"100", "1.5%"}
	case Status:
		return []any{100, 599, "200-299", []any{200, "300-302"}}, []any{99, 600, "2xx", []any{}}
	case Text:
		if typ.Pattern != "" {
			return nil, []any{"not\nfor a request"}
		}
	case List:
		return nil, []any{map[string]any{"a": "b"}}
	case Mapping, Named, Names:
		return nil, []any{"unlike-any"}
	case Several:
		if typ.Least > 0 {
			bad = append(bad, []any{})
		}
		return nil, append(bad, map[string]any{"a": "b"}, []any{map[string]any{"a": "b"}})
	}
	return nil, nil
}

// wordsIn are those of a message such as: "x": write a, b or c.
func wordsIn(message string) []string {
	_, list, _ := strings.Cut(message, ": write ")
	words := strings.Split(strings.Replace(list, " or ", ", ", 1), ", ")
	slices.Sort(words)
	return words
}

// TestOnly: keys of one type of check are refused in others.
func TestOnly(t *testing.T) {
	schema := compile(t)
	all := check()
	for _, key := range all.Keys {
		for _, kind := range all.Keys[0].Type.(Words) {
			tree := sampleTree(t)
			check := map[string]any{"type": kind, key.Name: value(key)}
			for _, other := range all.Keys {
				if other.Required && slices.Contains(other.Only, kind) {
					check[other.Name] = value(other)
				}
			}
			tree["checks"] = map[string]any{"web": check}
			want := key.Only == nil || slices.Contains(key.Only, kind)
			if key.Name == "type" {
				continue
			}
			if message := parse(t, tree).at("checks.web." + key.Name); (message == "") != want {
				t.Errorf("%s of type %s: the parser says %q", key.Name, kind, message)
			}
			if err := schema.Validate(asJSON(t, tree)); (err == nil) != want {
				t.Errorf("%s of type %s: the schema says %v", key.Name, kind, err)
			}
		}
	}
}

// TestFiles: the schema takes the files that we hand out, and one with every key.
func TestFiles(t *testing.T) {
	schema := compile(t)
	full := read(t, "control/config/testdata/full.yaml")
	for name, data := range map[string][]byte{
		"packaging/tarpon.yaml": read(t, "packaging/tarpon.yaml"), "full.yaml": full, "sample": []byte(Sample()), "pair.yaml": []byte(PairFile),
	} {
		if _, err := config.Parse(name, data); err != nil {
			t.Error(err)
		}
		if err := schema.Validate(asJSON(t, decode(t, data))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	eachKey(t, sampleTree(t), func(k place) {
		if !bytes.Contains(full, []byte(k.Name+":")) {
			t.Errorf("full.yaml has no %s", k.path)
		}
	})
}

// The sample as values, and a walk over it.

func sampleTree(t *testing.T) map[string]any {
	t.Helper()
	return decode(t, []byte(Sample()))
}

// place is a key of the reference and where the sample has it.
type place struct {
	Key
	path string
	in   map[string]any
	root map[string]any
}

func eachMapping(t *testing.T, tree map[string]any, f func(path string, m Mapping, in map[string]any)) {
	walk(t, "", File(), tree, f)
}

// restore remembers a key's value.
func (p place) restore() func() {
	value, had := p.in[p.Name]
	return func() {
		p.in[p.Name] = value
		if !had {
			delete(p.in, p.Name)
		}
	}
}

// eachKey may change the tree.
func eachKey(t *testing.T, tree map[string]any, f func(place)) {
	var places []place
	eachMapping(t, tree, func(path string, m Mapping, in map[string]any) {
		for _, key := range m.Keys {
			if key.Only != nil && !slices.Contains(key.Only, m.Keys[0].Example) {
				continue // of another type than the sample's: TestOnly
			}
			places = append(places, place{key, join(path, key.Name), in, tree})
		}
	})
	for _, p := range places {
		f(p)
	}
}

// walk follows the sample's first item of each list, and of each example.
func walk(t *testing.T, path string, m Mapping, in map[string]any, f func(string, Mapping, map[string]any)) {
	f(path, m, in)
	for _, key := range m.Keys {
		at, value := join(path, key.Name), in[key.Name]
		switch typ := key.Type.(type) {
		case Mapping:
			walk(t, at, typ, value.(map[string]any), f)
		case Named:
			walk(t, join(at, typ.Name), typ.Of, value.(map[string]any)[typ.Name].(map[string]any), f)
		case List:
			for i, form := range typ.forms() {
				walk(t, fmt.Sprintf("%s[%d]", at, i), form, value.([]any)[i].(map[string]any), f)
			}
		}
	}
}

func join(path, key string) string { return strings.TrimPrefix(path+"."+key, ".") }

func keyNames(m Mapping) (names []string) {
	for _, key := range m.Keys {
		names = append(names, key.Name)
	}
	return names
}

// value is a key's sample value.
func value(k Key) any {
	var v any
	_ = yaml.Unmarshal([]byte(k.shown()), &v)
	return v
}

func decode(t *testing.T, data []byte) (tree map[string]any) {
	t.Helper()
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// parsed is what the parser made of a tree.
type parsed struct {
	config *config.Config
	err    error
}

func parse(t *testing.T, tree map[string]any) parsed {
	t.Helper()
	data, err := yaml.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("f", data)
	return parsed{c, err}
}

// at is the message of a path's fault; empty: there is none.
func (p parsed) at(path string) string {
	var list *config.Errors
	if errors.As(p.err, &list) {
		for _, fault := range list.List {
			if fault.Path == path || strings.HasPrefix(fault.Path, path+"[") {
				return fault.Message
			}
		}
	}
	return ""
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("tarpon.schema.json", schema); err != nil {
		t.Fatal(err)
	}
	return compiler.MustCompile("tarpon.schema.json")
}

// asJSON is a tree as the validator wants it.
func asJSON(t *testing.T, tree any) any {
	t.Helper()
	data, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(fmt.Errorf("%v: %w", tree, err))
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return value
}
