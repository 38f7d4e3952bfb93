package config

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

func seeds(f *testing.F) [][]byte {
	errors, err := os.ReadFile("testdata/errors.yaml")
	if err != nil {
		f.Fatal(err)
	}
	styles, err := os.ReadFile("testdata/styles.yaml")
	if err != nil {
		f.Fatal(err)
	}
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		f.Fatal(err)
	}
	return [][]byte{
		{}, errors, styles, full, []byte(sample), []byte(legs), []byte(pairFile),
		[]byte("{legs: {a: {role: both, interface: e}}, vips: [{vip: 1.2.3.4:5, reals: [1.2.3.5, {real: 1.2.3.6, weight: 0}]}]}"),
		[]byte("legs: {a: {role: both, interface: e}}\nvips:\n- vip: >-\n    1.2.3.4:5\n  ? reals\n  : - '1.2.3.5'\n    - real: 1.2.3.6\n"),
	}
}

// FuzzParse: whatever the bytes are, Parse comes back, with a configuration that
// Export writes as an equal one, or with faults that are inside the file.
func FuzzParse(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		var list *Errors
		if errors.As(err, &list) {
			lines := bytes.Count(data, []byte("\n")) + 1
			for _, fault := range list.List {
				if fault.Line < 0 || fault.Line > lines || fault.Message == "" {
					t.Errorf("fault %+v of %d lines", fault, lines)
				}
			}
			_ = err.Error()
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("f", Export(c))
		if err != nil {
			t.Fatalf("%v\n%s", err, Export(c))
		}
		if !again.Equal(c) {
			t.Errorf("exported as another: %s\n%s", diffConfigs(c, again), Export(c))
		}
		for _, facts := range []Facts{lab(), pairLab()} {
			if _, err := ValidateHost("f", c, facts); err != nil {
				_ = err.Error()
			}
		}
		for _, router := range c.Routers {
			if side, ok := c.ForRouter(router.Name); !ok || len(side.Links) == 0 {
				t.Errorf("%s has no way to its peer: %+v", router.Name, side)
			}
		}
	})
}

// FuzzEdits: an edit of a valid file fails, or gives a valid file in which every
// other vip is what it was.
func FuzzEdits(f *testing.F) {
	for i, seed := range seeds(f) {
		for kind := range uint8(6) {
			f.Add(seed, kind, uint8(i), "10.9.9.9:80", "weight", "7")
		}
		f.Add(seed, uint8(2), uint8(0), "", "timeouts.udp", "7s")
	}
	f.Fuzz(func(t *testing.T, data []byte, kind, pick uint8, address, key, value string) {
		before, err := Parse("f", data)
		if err != nil {
			return
		}
		vip, at := "192.0.2.77:77", -1
		if len(before.Vips) > 0 {
			at = int(pick) % len(before.Vips)
			vip = FormatVip(before.Vips[at].Endpoint)
		}
		real := address
		if at >= 0 && len(before.Vips[at].Reals) > 0 {
			real = before.Vips[at].Reals[int(pick)%len(before.Vips[at].Reals)].String()
		}
		settings := []Setting{{Key: key, Value: value, Unset: pick%5 == 4}}
		original := bytes.Clone(data)
		var after []byte
		switch kind % 6 {
		case 0:
			after, err = AddVip(data, address, settings, []NewReal{{Real: real}})
		case 1:
			after, err = DeleteVip(data, vip)
		case 2:
			after, err = EditVip(data, vip, settings)
		case 3:
			after, err = AddReal(data, vip, NewReal{address, settings})
		case 4:
			after, err = DeleteReal(data, vip, real)
		case 5:
			after, err = EditReal(data, vip, real, settings)
		}
		if !bytes.Equal(data, original) {
			t.Fatal("the given bytes were written to")
		}
		if err != nil {
			if errors.Is(err, errUnread) && takesLine(t, data) {
				t.Errorf("%d of %s: %v\n%s", kind%6, vip, err, data)
			}
			return
		}
		is, err := Parse("f", after)
		if err != nil {
			t.Fatalf("%v\n%s\nfrom\n%s", err, after, data)
		}
		if kind%6 == 0 {
			at = -1 // every vip is another
		}
		others := len(before.Vips)
		if kind%6 == 1 {
			others--
		}
		if len(is.Vips) < others {
			t.Fatalf("%d vips of %d:\n%s\nfrom\n%s", len(is.Vips), len(before.Vips), after, data)
		}
		for i := range before.Vips {
			now := i
			if kind%6 == 1 && i > at {
				now--
			}
			a, b := Config{Vips: before.Vips[i : i+1]}, Config{Vips: is.Vips[now:min(now+1, len(is.Vips))]}
			if i != at && !a.Equal(&b) {
				t.Errorf("vips[%d] changed:\n%s\nfrom\n%s", i, after, data)
			}
		}
	})
}

// takesLine says whether a line can follow the file without changing what it says: not
// if it ends, without a line's end, in a block scalar.
func takesLine(t *testing.T, data []byte) bool {
	is, err := load(data)
	if err != nil {
		t.Fatal(err)
	}
	ended, err := load(append(bytes.Clone(data), '\n'))
	return err == nil && same(is, ended)
}
