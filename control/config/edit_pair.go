package config

import (
	"errors"
	"fmt"
	"strconv"
)

// A NewPair is what a router that is alone lacks to be one of two.
type NewPair struct {
	VRID    int
	Routers [2]Router
	Legs    []Leg // of the role pair, that are new
}

// AddPair makes the configuration of a router that is alone that of a pair. As with all
// edits, the rest of the file stays as it is.
func AddPair(data []byte, pair NewPair) ([]byte, error) {
	return edit(data, func(d *document, c *Config) error {
		if c.Paired() {
			return fmt.Errorf("`routers`: %w", ErrExists)
		}
		for _, leg := range pair.Legs {
			n := flowMapping()
			put(n, "role", scalar(roleName(RolePair)))
			put(n, "interface", scalar(leg.Interface))
			legs := valueOf(d.root, "legs")
			if indexOf(legs, leg.Name) >= 0 {
				return fmt.Errorf("leg %s: %w", leg.Name, ErrExists)
			}
			if err := d.set(legs, leg.Name, n, nil); err != nil {
				return err
			}
		}
		next := &Config{Legs: append(c.Legs, pair.Legs...)}
		routers := sequenceOf(0, exportRouter(pair.Routers[0], next), exportRouter(pair.Routers[1], next))
		if err := d.set(d.root, "routers", routers, nil); err != nil {
			return err
		}
		n := flowMapping()
		put(n, "vrid", scalar(strconv.Itoa(pair.VRID)))
		return d.set(d.root, "pair", n, nil)
	})
}

// RemovePair makes it that of a router alone: without the pair and its legs. Without
// the service it has neither vips nor floating addresses: the other router has them.
func RemovePair(data []byte, service bool) ([]byte, error) {
	return edit(data, func(d *document, c *Config) error {
		if !c.Paired() {
			return errors.New("there is no pair in the file")
		}
		keys := []string{"routers", "pair"}
		if !service {
			keys = append(keys, "floating", "vips")
		}
		for _, key := range keys {
			if err := d.unset(d.root, key); err != nil {
				return err
			}
		}
		for _, leg := range c.Legs {
			legs := valueOf(d.root, "legs")
			if leg.Role != RolePair {
				continue
			}
			if err := d.unset(legs, leg.Name); err != nil {
				return err
			}
		}
		return nil
	})
}
