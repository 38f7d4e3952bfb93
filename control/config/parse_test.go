package config

import (
	"flag"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// lab is a machine with one address on either side.
func lab() Facts {
	return Facts{Interfaces: []Interface{
		{Name: "lo", Networks: prefixes("127.0.0.1/8", "::1/128")},
		{Name: "eth0", Networks: prefixes("192.168.26.2/24")},
		{Name: "eth1", Networks: prefixes("10.0.0.1/24")},
	}}
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestAllErrorsAtOnce(t *testing.T) {
	data, err := os.ReadFile("testdata/errors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = ParseOn("/etc/tarpon/tarpon.yaml", data, lab())
	list, ok := err.(*Errors)
	if !ok {
		t.Fatalf("%T %v", err, err)
	}
	list.Note = "revision 41 goes on"
	golden(t, "errors.txt", list.Error()+"\n")
}

func mustAddrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
