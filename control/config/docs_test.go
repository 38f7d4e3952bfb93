package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// docs/config.md is a file that Parse takes, and the defaults that it tells are true.
func TestDocumentedDefaults(t *testing.T) {
	page, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	sample, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/config.md has no example")
	}
	told, err := Parse("docs/config.md", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	bare, err := Parse("bare", []byte(`
legs:
  wan: {role: outside, interface: eth0}
  lan: {role: inside, interface: eth1}
floating:
  - {address: 10.0.0.254/24, leg: lan}
checks:
  web: {type: http}
vips:
  - vip: 192.168.26.200:80
    name: shop
    leg: wan
    check: web
    reals: ["10.0.0.11:8080", {real: "10.0.0.12:8080", name: web2}]
  - vip: "[2001:db8::10]:53/udp"
    leg: none
    reals: ["[2001:db8:1::11]:53"]
`))
	if err != nil {
		t.Fatal(err)
	}
	if !told.Equal(bare) {
		t.Errorf("the page's values are not the defaults:\n%s\nwithout them:\n%s", Export(told), Export(bare))
	}
	if !reflect.DeepEqual(told.Flows, bare.Flows) {
		t.Errorf("flows are %+v, by default %+v", told.Flows, bare.Flows)
	}
}
