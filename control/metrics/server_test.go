package metrics

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/tarpon-lb/tarpon/control/api"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// freePort is an address where nobody listens now.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

func status(t *testing.T, address netip.AddrPort, path string) int {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address.String() + path)
	if errors.Is(err, unix.ECONNREFUSED) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func TestListen(t *testing.T) {
	defer goleak.VerifyNone(t)
	first, second, nowhere := freePort(t), freePort(t), netip.AddrPort{}
	s := NewServer(&router{status: api.Status{Version: "1"}})
	defer s.Close()
	listen := func(address netip.AddrPort, want error) {
		t.Helper()
		if err := s.Listen(address); !errors.Is(err, want) {
			t.Errorf("listen at %s: %v, want %v", address, err, want)
		}
	}
	serves := func(address netip.AddrPort, want int) {
		t.Helper()
		if got := status(t, address, "/metrics"); got != want {
			t.Errorf("%s answers %d, want %d", address, got, want)
		}
	}
	listen(first, nil)
	serves(first, 200)
	if got := status(t, first, "/"); got != 404 {
		t.Errorf("/ is answered with %d", got)
	}
	listen(first, nil)
	serves(first, 200)
	listen(second, nil)
	serves(first, 0)
	serves(second, 200)

	// Somebody else is there, and goes.
	other, err := net.Listen("tcp", first.String())
	if err != nil {
		t.Fatal(err)
	}
	listen(first, unix.EADDRINUSE)
	serves(second, 0)
	listen(first, unix.EADDRINUSE)
	other.Close()
	listen(first, nil)
	serves(first, 200)

	listen(nowhere, nil)
	serves(first, 0)
}
