// Package healthcheck says whether a real server is up: probes, the machine that
// judges their results, and a set that runs many. It knows no vips and no maps.
package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Probe asks a server once. It is comparable: two equal ones ask the same.
type Probe interface {
	// Probe returns nil if the server is well, and else why not. It ends by the
	// context's deadline.
	Probe(ctx context.Context) error
}

// TCP connects and hangs up.
type TCP struct{ Address netip.AddrPort }

// Probe implements Probe.
func (p TCP) Probe(ctx context.Context) error {
	conn, err := dial(ctx, p.Address)
	if err != nil {
		return err
	}
	// A reset ends both sides at once: no TIME_WAIT for every probe of every real.
	_ = conn.SetLinger(0)
	return conn.Close()
}

// HTTP asks for a path and judges the answer.
type HTTP struct {
	Address netip.AddrPort
	Method  string
	Path    string
	Host    string // empty: the address
	Status  string // ranges, such as "200-299,304": see statusIn
	Body    string // RE2 that the first bodyLimit bytes must match; empty: any
}

const bodyLimit = 64 << 10

// Probe implements Probe.
func (p HTTP) Probe(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, p.Method, "http://"+p.Address.String()+p.Path, nil)
	if err != nil {
		return err
	}
	if p.Host != "" {
		request.Host = p.Host
	}
	request.Header.Set("User-Agent", "tarpon")
	request.Close = true
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, p.Address)
		},
	}
	response, err := transport.RoundTrip(request) // redirects are answers, not followed
	if err != nil {
		return reason(err)
	}
	defer response.Body.Close()
	if !statusIn(p.Status, response.StatusCode) {
		return fmt.Errorf("HTTP %d, wanted %s", response.StatusCode, p.Status)
	}
	if p.Body == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	if err != nil {
		return fmt.Errorf("read the body: %w", reason(err))
	}
	if match, err := regexp.Match(p.Body, body); err != nil || !match {
		return fmt.Errorf("the body does not match %q", p.Body)
	}
	return nil
}

// statusIn reads ranges as they were written: "200-299,304".
func statusIn(ranges string, status int) bool {
	for one := range strings.SplitSeq(ranges, ",") {
		first, last, has := strings.Cut(one, "-")
		if !has {
			last = first
		}
		least, errLeast := strconv.Atoi(first)
		most, errMost := strconv.Atoi(last)
		if errLeast == nil && errMost == nil && least <= status && status <= most {
			return true
		}
	}
	return false
}

func dial(ctx context.Context, address netip.AddrPort) (*net.TCPConn, error) {
	var dialer net.Dialer
	dialer.KeepAlive = -1
	conn, err := dialer.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return nil, reason(err)
	}
	return conn.(*net.TCPConn), nil
}

// reason is an error as an operator would say it.
func reason(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		return errors.New("timeout")
	case errors.Is(err, unix.ECONNREFUSED):
		return errors.New("connection refused")
	case errors.Is(err, unix.EHOSTUNREACH):
		return errors.New("no route to host")
	case errors.Is(err, unix.ENETUNREACH):
		return errors.New("network unreachable")
	case errors.Is(err, unix.ECONNRESET):
		return errors.New("connection reset")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the server hung up")
	}
	return err
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// A Config says how often a probe runs and how its results are judged.
type Config struct {
	Interval time.Duration
	Timeout  time.Duration
	Jitter   float64 // of the interval, 0..1
	Rise     int     // successes in a row that make a server up
	Fall     int     // failures in a row that make it down
}
