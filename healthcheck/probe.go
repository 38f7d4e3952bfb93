// Package healthcheck says whether a real server is up: probes, the machine that
// judges their results, and a set that runs many. It knows no vips and no maps.
package healthcheck

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Probe is what a server is asked: TCP, Ping, HTTP or Exec. It is comparable: two
// equal ones ask the same.
type Probe interface {
	// begin asks, and sets r.cancel. The answer comes later, by the engine; an
	// error is the answer already.
	begin(e *engine, r *run) error
}

// A Config says how often a probe runs and how its results are judged.
type Config struct {
	Interval time.Duration
	Timeout  time.Duration
	Jitter   float64 // of the interval, 0..1
	Rise     int     // successes in a row that make a server up
	Fall     int     // failures in a row that make it down
}

var errTimeout = errors.New("timeout")

// notAsked is a failure of this machine, before the server was asked: it says
// nothing of the server.
type notAsked struct{ error }

func (e notAsked) Unwrap() error { return e.error }

// short is what this machine may run out of.
var short = []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EAGAIN, unix.EADDRNOTAVAIL}

// reason is an error as an operator would say it.
func reason(err error) error {
	if slices.ContainsFunc(short, func(s error) bool { return errors.Is(err, s) }) {
		return notAsked{err}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		return errTimeout
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
