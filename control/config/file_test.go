package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var testFacts = Facts{Interfaces: []Interface{
	{Name: "eth0", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.250/24"), netip.MustParsePrefix("2001:db8::250/64")}},
	{Name: "eth1", Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.13/24"), netip.MustParsePrefix("fe80::1/64")}},
	{Name: "eth2", Networks: []netip.Prefix{netip.MustParsePrefix("172.31.0.1/24")}},
}}

// An edit of a file's one vip is the same as an edit of its bytes, which are parsed
// whole after: same bytes where the file shows a style, same meaning, same verdict.
func TestEditOfAFileIsOneOfItsBytes(t *testing.T) {
	alone := 0
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		for range 3 {
			v, _ := drawVip(t, c)
			if c.FindVip(FormatVip(v.Endpoint)) < 0 && c.FindVip(v.Name) < 0 {
				c.Vips = append(c.Vips, v)
			}
		}
		if Validate("f", c) != nil {
			t.Skip("not valid")
		}
		f, err := Open("f", drawStyle(t, Export(c)), testFacts)
		if err != nil {
			t.Skip("not valid here")
		}
		for range rapid.IntRange(1, 6).Draw(t, "edits") {
			name, edit, change, node := drawEdit(t, c)
			vip := strings.TrimPrefix(name, "add vip ")
			if node != "" {
				var i int
				fmt.Sscanf(node, "vips[%d]", &i)
				vip = FormatVip(c.Vips[i].Endpoint)
			}
			var want *File
			data, refused := edit(f.Data)
			if refused == nil {
				want, refused = Open("f", data, testFacts)
			}
			next, err := f.Edit(vip, testFacts, edit)
			if (err != nil) != (refused != nil) {
				t.Fatalf("%s of %s: %v, but of the bytes: %v\n%s", name, vip, err, refused, f.Data)
			}
			if err != nil {
				continue
			}
			if f.editVip(vip, testFacts, edit) != nil {
				alone++
			}
			shown := slices.ContainsFunc(f.read.spots, func(s spot) bool { return s.isModel }) // how to indent
			if node != "" && shown && !bytes.Equal(next.Data, data) {
				t.Fatalf("%s of %s: got\n%s\nwant\n%s\nfrom\n%s", name, vip, next.Data, data, f.Data)
			}
			again, err := Open("f", next.Data, testFacts)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, next.Data)
			}
			for what, pair := range map[string][2]*Config{
				"the edit of the bytes": {want.Config, next.Config}, "what the file means": {again.Config, next.Config}, "what is read of it": {again.read, next.read},
			} {
				if diff := diffConfigs(pair[0], pair[1]); diff != "" {
					t.Fatalf("%s of %s is not %s: %s\n%s", name, vip, what, diff, next.Data)
				}
			}
			if !slices.Equal(next.read.spots, again.read.spots) {
				t.Fatalf("%s of %s: vips at %v, want %v\n%s", name, vip, next.read.spots, again.read.spots, next.Data)
			}
			changed := clone(c)
			change(changed)
			f, c = next, changed
			if refused != nil || !f.read.Equal(c) {
				c = clone(f.read)
			}
		}
	})
	if alone == 0 {
		t.Error("no edit read its vip alone: nothing was tested")
	}
	t.Logf("%d edits read their vip alone", alone)
}

// What no vip can know by itself.
func TestEditKnowsTheOtherVips(t *testing.T) {
	var text strings.Builder
	text.WriteString("legs:\n  wan: {role: outside, interface: eth0}\n  lan: {role: inside, interface: eth1}\nvips:\n")
	for n := range 9 {
		fmt.Fprintf(&text, "  - vip: 192.0.2.%d:80\n    name: vip%d\n    reals: [10.0.0.%d]\n", 10+n, n, 20+n)
	}
	f, err := Open("f", []byte(text.String()), testFacts)
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]struct {
		vip string
		do  func([]byte) ([]byte, error)
	}{
		"a taken name": {"vip1", func(d []byte) ([]byte, error) { return EditVip(d, "vip1", []Setting{{Key: "name", Value: "vip7"}}) }},
		"another leg": {"192.0.2.18:81", func(d []byte) ([]byte, error) {
			return AddVip(d, "192.0.2.10:81", []Setting{{Key: "leg", Value: "none"}}, nil)
		}},
		"a vip that exists": {"192.0.2.10:80", func(d []byte) ([]byte, error) { return AddVip(d, "192.0.2.10:80", nil, nil) }},
		"a real that exists": {"vip3", func(d []byte) ([]byte, error) {
			return AddReal(d, "vip3", NewReal{Real: "10.0.0.23", Settings: []Setting{{Key: "weight", Value: "3"}}})
		}},
		"the router itself": {"vip3", func(d []byte) ([]byte, error) { return AddReal(d, "vip3", NewReal{Real: "10.0.0.13"}) }},
		"no such vip":       {"vip9", func(d []byte) ([]byte, error) { return DeleteVip(d, "vip9") }},
	} {
		if _, err := f.Edit(edit.vip, testFacts, edit.do); err == nil {
			t.Errorf("%s was not refused", name)
		}
	}
}

// manyVips is a file of vips that are routed to us, without checks.
func manyVips(vips, reals int) []byte {
	var b strings.Builder
	b.WriteString("legs:\n  wan: {role: outside, interface: eth0}\n  lan: {role: inside, interface: eth1}\nvips:\n")
	for i := range vips {
		fmt.Fprintf(&b, "  - vip: 198.18.%d.%d:80\n    leg: none\n    check: none\n    reals:\n", i/256, i%256)
		for r := range reals {
			n := i*reals + r
			fmt.Fprintf(&b, "      - 10.%d.%d.%d:8080\n", 1+n/65536, n/256%256, n%256)
		}
	}
	return []byte(b.String())
}

func BenchmarkManyVips(b *testing.B) {
	data := manyVips(16000, 4)
	f, err := Open("f", data, testFacts)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := Open("f", data, testFacts); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("edit", func(b *testing.B) {
		for b.Loop() {
			next, err := f.Edit("198.18.0.5:80", testFacts, func(d []byte) ([]byte, error) {
				return AddReal(d, "198.18.0.5:80", NewReal{Real: "10.200.0.1:8080"})
			})
			if err != nil || next == f {
				b.Fatal(err)
			}
		}
	})
}

// What all vips have together is known to an edit of one as well.
func TestTooManyBackends(t *testing.T) {
	const told = "65536 reals behind all vips: at most 65535"
	if _, err := Open("f", manyVips(1024, 64), testFacts); err == nil || !strings.Contains(err.Error(), told) {
		t.Errorf("a file with 65,536: %v", err)
	}
	f, err := Open("f", manyVips(1023, 64), testFacts)
	if err != nil {
		t.Fatal(err)
	}
	var reals []NewReal
	for n := range 64 {
		reals = append(reals, NewReal{Real: fmt.Sprintf("10.99.0.%d:8080", n+1)})
	}
	add := func(reals []NewReal) error {
		_, err := f.Edit("198.19.0.1:80", testFacts, func(d []byte) ([]byte, error) {
			return AddVip(d, "198.19.0.1:80", []Setting{{Key: "leg", Value: "none"}, {Key: "check", Value: "none"}}, reals)
		})
		return err
	}
	if err := add(reals); err == nil || !strings.Contains(err.Error(), told) {
		t.Errorf("a vip that makes them 65,536: %v", err)
	}
	if err := add(reals[1:]); err != nil {
		t.Errorf("a vip that makes them 65,535: %v", err)
	}
}

func BenchmarkTenVips(b *testing.B) {
	for _, reals := range []int{4, 100} {
		f, err := Open("f", manyVips(10, reals), testFacts)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%d reals", reals), func(b *testing.B) {
			for b.Loop() {
				next, err := f.Edit("198.18.0.5:80", testFacts, func(d []byte) ([]byte, error) {
					return AddReal(d, "198.18.0.5:80", NewReal{Real: "10.200.0.1:8080"})
				})
				if err != nil || next == f {
					b.Fatal(err)
				}
			}
		})
	}
}

// A vip in the network of an interface that is awaited has its leg when that has come.
func TestAwaitedInterface(t *testing.T) {
	absent := Facts{Interfaces: testFacts.Interfaces[1:], Awaits: func(string) bool { return true }}
	f, err := Open("f", []byte("legs:\n  wan: {role: outside, interface: eth0}\n  lan: {role: inside, interface: eth1}\n"+
		"vips:\n  - {vip: 192.0.2.10:80, reals: [10.0.0.20]}\n  - {vip: 192.0.2.10:81, reals: [10.0.0.20]}\n  - {vip: 198.51.100.1:80, leg: none, reals: [10.0.0.20]}\n"), absent)
	if err != nil {
		t.Fatal(err)
	}
	legs := func(f *File) (legs []string) {
		for _, vip := range f.Config.Vips {
			legs = append(legs, vip.Leg)
		}
		return legs
	}
	if got := legs(f); !slices.Equal(got, []string{"", "", LegNone}) {
		t.Errorf("before: %q", got)
	}
	if _, err := f.On("f", Facts{Interfaces: absent.Interfaces}); err == nil || !strings.Contains(err.Error(), "there is no interface eth0") {
		t.Errorf("not awaited: %v", err)
	}
	known := absent
	known.LegOf = func(addr netip.Addr) string { return map[string]string{"192.0.2.10": "wan"}[addr.String()] }
	if had, err := f.On("f", known); err != nil || !slices.Equal(legs(had), []string{"wan", "wan", LegNone}) {
		t.Errorf("of an interface that went: %v", err)
	}
	placed, err := f.On("f", testFacts)
	if err != nil {
		t.Fatal(err)
	}
	if got := legs(placed); !slices.Equal(got, []string{"wan", "wan", LegNone}) {
		t.Errorf("after: %q", got)
	}
}
