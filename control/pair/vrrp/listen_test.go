package vrrp

import (
	"errors"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A goodbye on one link is not taken back by an older advert that another link has.
func TestOrderOfArrival(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
	own, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v (run this test as root)", err)
	}
	defer own.Close()
	for _, line := range []string{"link set lo up", "addr add fd00::1 dev lo nodad", "addr add fd00::2 dev lo nodad"} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	// An IPv6 address is ready a while after it was added.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		out, err := exec.Command("ip", "-6", "route", "show", "table", "local", "type", "local").CombinedOutput()
		if err == nil && strings.Contains(string(out), "fd00::1 ") && strings.Contains(string(out), "fd00::2 ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the addresses are not there: %v: %s", err, out)
		}
	}
	c := Config{VRID: 77, Version: 3, Advert: 100 * ms, Priority: 150, Advertise: floating}
	for _, a := range [][2]string{{"127.0.0.1", "127.0.0.2"}, {"fd00::1", "fd00::2"}} {
		c.Links = append(c.Links, Link{"lo", netip.MustParseAddr(a[0]), netip.MustParseAddr(a[1])})
	}
	us := &Speaker{c: c, foreign: map[foreignKey]Foreigner{}, batch: make([]arrival, 0, 256)}
	them := &Speaker{c: c}
	for _, link := range c.Links {
		for _, side := range []*Speaker{us, them} {
			s, err := openSocket(link, Unicast)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			side.sockets = append(side.sockets, s)
			link.Own, link.Peer = link.Peer, link.Own
		}
	}
	them.c.Links = []Link{them.sockets[0].link, them.sockets[1].link}
	say := func(link int, priority uint8) {
		t.Helper()
		advert, s := them.c.advert(them.c.Links[link], priority), them.sockets[link]
		packet, err := advert.Append(nil, s.link.Own, s.destination, RFC9568)
		if err == nil {
			err = s.send(packet)
		}
		if err != nil {
			t.Fatal(err)
		}
		// On a busy machine it takes its time, and the next one may overtake it.
		arrived := []unix.PollFd{{Fd: int32(us.sockets[link].fd), Events: unix.POLLIN}}
		for _, err = unix.Poll(arrived, 10_000); errors.Is(err, unix.EINTR); _, err = unix.Poll(arrived, 10_000) {
		}
	}
	// The kernel begins to stamp what arrives a while after it was first asked to; until
	// then it stamps what is read.
	for stamped, deadline := false, time.Now().Add(10*time.Second); !stamped; {
		if time.Now().After(deadline) {
			t.Fatal("the kernel does not stamp what arrives")
		}
		say(0, 1)
		before := time.Now()
		for _, a := range us.listen() {
			stamped = a.at.Before(before)
		}
	}
	// The links are read in their order: 0, then 1.
	say(1, 150)
	say(0, 0)
	say(1, 0)
	var got []uint8
	for deadline := time.Now().Add(10 * time.Second); len(got) < 3 && time.Now().Before(deadline); {
		for _, a := range us.listen() { // the last one may not be there yet
			got = append(got, a.Advert.Priority)
		}
	}
	if string(got) != string([]uint8{150, 0, 0}) {
		t.Errorf("heard %v, %s", got, us.show.RefusedWhy)
	}
	if left := us.listen(); len(left) != 0 {
		t.Errorf("heard again: %v", left)
	}
}
