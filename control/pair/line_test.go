package pair

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/pair/link"
	"github.com/tarpon-lb/tarpon/test/namespace"
)

// Two routers whose cable has link-local addresses only, in a network of the test's own.
func TestLineOverLinkLocalAddresses(t *testing.T) {
	if !namespace.Own(t) {
		return
	}
	for _, args := range [][]string{
		{"ip", "link", "add", "one", "type", "veth", "peer", "name", "two"},
		{"ip", "link", "set", "one", "up"}, {"ip", "link", "set", "two", "up"},
		{"ip", "addr", "add", "fe80::a/64", "dev", "one", "nodad"}, {"ip", "addr", "add", "fe80::b/64", "dev", "two", "nodad"},
	} {
		namespace.Command(t, args...)
	}
	var keys [2]ed25519.PrivateKey
	var pins [2]string
	for i := range keys {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[i], pins[i] = key, string(link.PinOf(public))
	}
	c, err := config.Parse("f", fmt.Appendf(nil, `
legs: {lan: {role: inside, interface: lan}, hb: {role: pair, interface: one}}
floating: [{address: "fe80::1/64", leg: lan}]
vips: []
routers:
  - {name: lb1, addresses: {hb: "fe80::a"}, priority: 150, key: %q}
  - {name: lb2, addresses: {hb: "fe80::b"}, interfaces: {hb: two}, key: %q}
pair: {vrid: 77}
`, pins[0], pins[1]))
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*link.Link
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	for i, name := range []string{"lb1", "lb2"} {
		side, _ := c.ForRouter(name)
		ends[i], err = link.New(link.Config{
			Name: name, Peer: side.Peer.Name, Key: keys[i], Pins: []link.Pin{link.Pin(side.Peer.Keys[0])},
			Port: uint16(c.Pair.Sync.Port), Paths: paths(side.Links),
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() { ends[i].Run(ctx); ended <- struct{}{} }()
	}
	defer func() { cancel(); <-ended; <-ended }()
	for limit := time.Now().Add(20 * time.Second); ends[0].State().Carrier == "" || ends[1].State().Carrier == ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("no connection: %+v, %+v", ends[0].State(), ends[1].State())
		}
	}
}
