package config

import (
	"errors"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// Edits take a valid file's bytes and return new ones in which only the bytes of
// the vip or real that was meant have changed; comments, order and indentation
// stay. The result is valid, and means what it meant but for the edit; otherwise
// the error says why, an *Errors if the file would not be valid. If the edit makes
// no difference, the bytes come back as they are.
//
// A vip is named by its address or its name, a real by its address (without a
// port: the vip's) or its name.

// Errors of edits.
var (
	ErrExists   = errors.New("exists")
	ErrNotFound = errors.New("does not exist")
)

// AddVip adds a vip at the end of the list. It errs with ErrExists if there is one
// of that address that is not just so.
func AddVip(data []byte, vip string, settings []Setting, reals []NewReal) ([]byte, error) {
	item, err := vipNode(vip, settings, reals)
	if err != nil {
		return nil, err
	}
	return edit(data, func(d *document, c *Config) error {
		e, err := ParseVip(vip)
		if err != nil {
			return fmt.Errorf("vip %w", err)
		}
		if at := c.FindVip(FormatVip(e)); at >= 0 {
			return d.existing(fmt.Sprintf("vip %s", FormatVip(e)), func() error {
				if err := d.remove(d.root, "vips", at); err != nil {
					return err
				}
				return d.add(d.root, "vips", item, nil)
			}, func(next *Config) bool {
				return reflect.DeepEqual(c.Vips[at], next.Vips[len(next.Vips)-1])
			})
		}
		return d.add(d.root, "vips", item, nil)
	})
}

// DeleteVip removes a vip.
func DeleteVip(data []byte, vip string) ([]byte, error) {
	return editVip(data, vip, func(d *document, _ *yaml.Node, _ *Config, at int) error {
		return d.remove(d.root, "vips", at)
	})
}

// EditVip changes settings of a vip, those given only.
func EditVip(data []byte, vip string, settings []Setting) ([]byte, error) {
	return editVip(data, vip, func(d *document, _ *yaml.Node, _ *Config, at int) error {
		return d.settings(settings, vipKeys(), func() *yaml.Node { return valueOf(d.root, "vips").Content[at] })
	})
}

// AddReal adds a real at the end of a vip's list. It errs with ErrExists if there
// is one of that address that is not just so.
func AddReal(data []byte, vip string, real NewReal) ([]byte, error) {
	return editVip(data, vip, func(d *document, n *yaml.Node, c *Config, at int) error {
		item, err := realNode(real, likeNeighbours(valueOf(n, "reals")))
		if err != nil {
			return err
		}
		v := &c.Vips[at]
		address, err := ParseReal(real.Real, v.Endpoint.Port())
		if err != nil {
			return fmt.Errorf("real %w", err)
		}
		if i := v.FindReal(Real{Address: address}.String()); i >= 0 {
			return d.existing(fmt.Sprintf("vip %s: real %s", FormatVip(v.Endpoint), v.Reals[i]), func() error {
				if err := d.remove(n, "reals", i); err != nil {
					return err
				}
				return d.add(valueOf(d.root, "vips").Content[at], "reals", item, vipKeys())
			}, func(next *Config) bool {
				reals := next.Vips[at].Reals
				return reflect.DeepEqual(v.Reals[i], reals[len(reals)-1])
			})
		}
		return d.add(n, "reals", item, vipKeys())
	})
}

// DeleteReal removes a real from a vip.
func DeleteReal(data []byte, vip, real string) ([]byte, error) {
	return editReal(data, vip, real, func(d *document, n *yaml.Node, index int, _ func() *yaml.Node) error {
		return d.remove(n, "reals", index)
	})
}

// EditReal changes settings of a real, those given only.
func EditReal(data []byte, vip, real string, settings []Setting) ([]byte, error) {
	return editReal(data, vip, real, func(d *document, n *yaml.Node, index int, item func() *yaml.Node) error {
		if item().Kind == yaml.MappingNode {
			return d.settings(settings, realKeys(), item)
		}
		long, err := realNode(NewReal{item().Value, settings}, likeNeighbours(valueOf(n, "reals")))
		if err != nil || len(long.Content) <= 2 {
			return err
		}
		return d.lengthen(valueOf(n, "reals"), index, long)
	})
}

// edit reads a file, changes it, and reads it again. Of a part of a file, as
// File.editVip makes one, nothing is asked that only the whole can be.
func edit(data []byte, change func(*document, *Config) error) ([]byte, error) {
	read := parse
	before, faults := read(data)
	if err := faults.errors("the file"); err != nil {
		read = parsePart
		if before, faults = read(data); len(faults.list) > 0 {
			return nil, err
		}
	}
	d, err := openDocument(data)
	if err != nil {
		return nil, err
	}
	switch err := change(d, before); {
	case errors.Is(err, errUnchanged):
		return data, nil
	case err != nil:
		return nil, err
	}
	after, faults := read(d.data)
	if err := faults.errors("the change"); err != nil {
		return nil, withoutPlaces(err) // in lines that nobody has seen
	}
	if after.Equal(before) {
		return data, nil
	}
	return d.data, nil
}

var errUnchanged = errors.New("unchanged")

// existing decides about adding what is there: no error but errUnchanged if it
// would be the same again. The document is spent.
func (d *document) existing(what string, again func() error, same func(*Config) bool) error {
	if err := again(); err != nil {
		return fmt.Errorf("%s: %w", what, ErrExists)
	}
	next, faults := parsePart(d.data)
	if len(faults.list) > 0 || !same(next) {
		return fmt.Errorf("%s: %w", what, ErrExists)
	}
	return errUnchanged
}

func editVip(data []byte, vip string, change func(d *document, n *yaml.Node, c *Config, at int) error) ([]byte, error) {
	return edit(data, func(d *document, c *Config) error {
		at := c.FindVip(vip)
		if at < 0 {
			return fmt.Errorf("vip %s: %w", vip, ErrNotFound)
		}
		return change(d, valueOf(d.root, "vips").Content[at], c, at)
	})
}

func editReal(data []byte, vip, real string, change func(d *document, n *yaml.Node, index int, item func() *yaml.Node) error) ([]byte, error) {
	return editVip(data, vip, func(d *document, n *yaml.Node, c *Config, at int) error {
		index := c.Vips[at].FindReal(real)
		if index < 0 {
			return fmt.Errorf("vip %s: real %s: %w", FormatVip(c.Vips[at].Endpoint), real, ErrNotFound)
		}
		return change(d, n, index, func() *yaml.Node {
			return valueOf(valueOf(d.root, "vips").Content[at], "reals").Content[index]
		})
	})
}
