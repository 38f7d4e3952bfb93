// Package failover measures what a pair's clients notice when a router fails: UDP
// streams of a packet per millisecond, TCP connections that never stop talking, and who
// has the addresses. It shares no code with what it judges.
//
//	gap       the longest time between two replies of a stream, less the send interval
//	lost      numbers of a stream that never came back
//	stalled   connections on which nothing came back since the service was there again
//
// Times are of the client's monotonic clock.
package failover

import (
	"errors"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Port is where the echo servers listen.
const Port = 7

// interval between a stream's packets.
const interval = time.Millisecond

// now is the monotonic clock.
func now() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}

// ownThread gives the goroutine a thread that other work of the machine holds up little.
// The thread ends with it.
func ownThread() {
	runtime.LockOSThread()
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0)
}

// again: the system call was interrupted, or there is nothing yet.
func again(err error) bool {
	return errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN)
}
