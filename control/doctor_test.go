package control

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Who has no nft is told that no rule was looked at.
func TestNoNft(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var e examination
	e.firewall(t.Context())
	if want := "the firewall's rules (nft): there is no nft in tarpond's PATH"; !slices.Contains(e.Unknown, want) {
		t.Errorf("%q, want %q", e.Unknown, want)
	}
}

func TestLegacyTables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ip_tables_names")
	says := func(want string) {
		t.Helper()
		said := ""
		if err := legacyTables(file, "iptables-legacy-save"); err != nil {
			said = err.Error()
		}
		if said != want {
			t.Errorf("%q, want %q", said, want)
		}
	}
	says("")
	for names, want := range map[string]string{
		"":              "",
		"nat\nfilter\n": "nft does not show those of nat, filter: see iptables-legacy-save",
	} {
		if err := os.WriteFile(file, []byte(names), 0o600); err != nil {
			t.Fatal(err)
		}
		says(want)
	}
}
