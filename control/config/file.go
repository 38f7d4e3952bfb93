package config

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"

	"github.com/tarpon-lb/tarpon/loader"
	"go.yaml.in/yaml/v4"
)

// A File is a configuration's bytes, and what they mean on a machine. It is a value:
// an edit returns another.
//
// An edit of one vip reads that vip and the rest of the file without its other vips:
// with 16,000 of them that is a millisecond instead of two seconds. The bytes stay
// what counts; that both ways lead to the same is a property that is tested.
type File struct {
	Data   []byte
	Config *Config // every vip has its leg, see ValidateHost
	read   *Config // as Parse reads it
}

// Open is ParseOn that keeps the bytes.
func Open(name string, data []byte, facts Facts) (*File, error) {
	c, r := parse(data)
	f := &File{Data: data, read: c}
	if c != nil {
		f.Config = r.validateHost(c, facts)
	}
	if err := r.errors(name); err != nil {
		return nil, err
	}
	return f, nil
}

// On is the same file on a machine that has become another.
func (f *File) On(name string, facts Facts) (*File, error) {
	placed, err := ValidateHost(name, f.read, facts)
	if err != nil {
		return nil, err
	}
	return &File{Data: f.Data, Config: placed, read: f.read}, nil
}

// Edit changes one vip, named as the edit names it, or adds one. The edit is one of
// those of bytes. What makes no difference returns the same File.
func (f *File) Edit(vip string, facts Facts, edit func([]byte) ([]byte, error)) (*File, error) {
	if next := f.editVip(vip, facts, edit); next != nil {
		return next, nil
	}
	// What is refused is refused of the whole file, which knows why.
	data, err := edit(f.Data)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(data, f.Data) {
		return f, nil
	}
	next, err := Open("the change", data, facts)
	return next, withoutPlaces(err)
}

// withoutPlaces leaves out the places of faults in lines that nobody has seen.
func withoutPlaces(err error) error {
	var list *Errors
	if errors.As(err, &list) {
		for i := range list.List {
			list.List[i].Place = Place{}
		}
	}
	return err
}

// editVip edits a file that has only the vip, and another, so that the list does not
// become empty: the one that shows how reals are indented, or else a neighbour. A vip
// to be added comes behind the last one. Nil: this file cannot be edited so, or not
// without a fault.
func (f *File) editVip(vip string, facts Facts, edit func([]byte) ([]byte, error)) *File {
	at, last := f.read.spots, len(f.read.Vips)-1
	if last < 2 || at == nil { // it would be the whole file
		return nil
	}
	from := f.read.FindVip(vip)
	if from < 0 {
		from = last
	}
	to := from + 1
	head, tail := f.Data[:at[0].begin], f.Data[at[last+1].begin:]
	model := slices.IndexFunc(at, func(s spot) bool { return s.isModel })
	switch {
	case model >= 0 && model != from:
		head = slices.Concat(head, f.Data[at[model].begin:at[model+1].begin])
	case from == last:
		from, model = from-1, -1
	default:
		to, model = to+1, -1
	}
	small := slices.Concat(head, f.Data[at[from].begin:at[to].begin], tail)
	edited, err := edit(small)
	switch {
	case err != nil:
		return nil
	case bytes.Equal(edited, small):
		return f
	case len(edited) < len(head)+len(tail) || !bytes.HasPrefix(edited, head) || !bytes.HasSuffix(edited, tail):
		return nil
	}
	part, r := parsePart(edited)
	if r.errors("") != nil || part.spots == nil {
		return nil
	}
	if model >= 0 {
		part.Vips, part.spots = part.Vips[1:], part.spots[1:]
	}
	end := len(edited) - len(tail)
	if part.spots[0].begin != len(head) || part.spots[len(part.Vips)].begin != end {
		return nil
	}
	return f.splice(from, to, part, edited[len(head):end], facts)
}

// splice puts other vips, and their text, in the place of some.
func (f *File) splice(from, to int, part *Config, text []byte, facts Facts) *File {
	at := f.read.spots
	data := slices.Concat(f.Data[:at[from].begin], text, f.Data[at[to].begin:])
	read := *f.read
	read.places = nil // of what follows, they are others now
	read.Vips = slices.Concat(f.read.Vips[:from], part.Vips, f.read.Vips[to:])
	moved := func(spots []spot, by int) []spot {
		spots = slices.Clone(spots)
		for i := range spots {
			spots[i].begin += by
		}
		return spots
	}
	read.spots = slices.Concat(at[:from], moved(part.spots[:len(part.Vips)], at[from].begin-part.spots[0].begin),
		moved(at[to:], len(data)-len(f.Data)))
	placed := *f.Config
	placed.places, placed.spots = nil, nil
	checked := f.check(&read, part.Vips, facts)
	if checked == nil {
		return nil
	}
	placed.Vips = slices.Concat(f.Config.Vips[:from], checked, f.Config.Vips[to:])
	return &File{Data: data, Config: &placed, read: &read}
}

// check returns vips with their legs if they are valid among the others. What was
// valid is so still, unless it shares a name or an address with one that changed.
func (f *File) check(c *Config, changed []Vip, facts Facts) []Vip {
	names, addresses := map[string]bool{}, map[netip.Addr]bool{}
	among, isChanged := *c, map[loader.Endpoint]bool{}
	for _, vip := range changed {
		isChanged[vip.Endpoint] = true
		names[vip.Name], addresses[vip.Endpoint.Addr()] = vip.Name != "", true
		for _, real := range vip.Reals {
			addresses[real.Address.Addr()] = true
		}
	}
	among.Vips = slices.Clone(changed)
	for i := range c.Vips {
		vip := &c.Vips[i]
		related := names[vip.Name] || addresses[vip.Endpoint.Addr()] ||
			slices.ContainsFunc(vip.Reals, func(r Real) bool { return addresses[r.Address.Addr()] })
		if isChanged[vip.Endpoint] {
			isChanged[vip.Endpoint] = false // one is among them; a second is a fault
			related = false
		}
		if related {
			among.Vips = append(among.Vips, *vip)
		}
	}
	r := &report{}
	r.validateWhole(c)
	r.validate(&among)
	placed := r.validateHost(&among, facts)
	if r.errors("") != nil {
		return nil
	}
	return placed.Vips[:len(changed)]
}

// A spot is where a vip is in the file.
type spot struct {
	begin   int  // its first line; comments above are the vip's before
	isModel bool // it shows how reals are indented
}

// spotsOf are those of all vips, and behind the last one where the list ends. Nil: the
// list has another form than one vip after the other, with dashes.
func spotsOf(data []byte, root *yaml.Node) []spot {
	at := indexOf(root, "vips")
	if at < 0 || !isBlock(root) || !isBlock(root.Content[at+1]) || len(root.Content[at+1].Content) == 0 {
		return nil
	}
	d := &document{newSource(data), root}
	list := root.Content[at+1]
	spots := make([]spot, 0, len(list.Content)+1)
	for i, item := range list.Content {
		begin, err := d.dash(list, item)
		if err != nil || i > 0 && begin <= spots[i-1].begin {
			return nil
		}
		spots = append(spots, spot{begin, showsIndents(item)})
	}
	end := len(data)
	for i := 0; i < len(root.Content); i += 2 {
		if key := root.Content[i]; key.Line > list.Line {
			end = min(end, d.lines[key.Line-1])
		}
	}
	return append(spots, spot{begin: end})
}
