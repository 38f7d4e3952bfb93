package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// Serve echoes TCP and UDP on Port, and lets UDP on the discard port be, in the namespace of its caller, who has a thread of
// its own, until the context ends. A TCP client hears the server's number first.
func Serve(ctx context.Context, number byte, ready chan<- error) {
	listen := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	tcp, err := listen.Listen(ctx, "tcp", fmt.Sprintf(":%d", Port))
	if err != nil {
		ready <- err
		return
	}
	udp, err := openUDP(Port)
	if err != nil {
		ready <- errors.Join(err, tcp.Close())
		return
	}
	discard, err := openUDP(discardPort) // and not read: the kernel drops what comes
	if err != nil {
		ready <- errors.Join(err, tcp.Close(), unix.Close(udp))
		return
	}
	defer unix.Close(discard)
	ready <- nil
	var running sync.WaitGroup
	running.Go(func() { echoTCP(tcp, number) })
	running.Go(func() { echoUDP(ctx, udp) })
	<-ctx.Done()
	_ = tcp.Close()
	running.Wait()
}

func echoTCP(listener net.Listener, number byte) {
	var open sync.Map
	for {
		c, err := listener.Accept()
		if err != nil {
			open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
			return
		}
		open.Store(c, nil)
		go func() {
			defer func() { open.Delete(c); _ = c.Close() }()
			if _, err := c.Write([]byte{number}); err == nil {
				_, _ = io.CopyBuffer(onlyWrites{c}, c, make([]byte, messageSize))
			}
		}()
	}
}

// onlyWrites hides what io.Copy would rather use: a pipe for each connection.
type onlyWrites struct{ io.Writer }

// openUDP is a socket for both families; a receive from it ends now and then.
func openUDP(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}),
		unix.Bind(fd, &unix.SockaddrInet6{Port: port}),
	)
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func echoUDP(ctx context.Context, fd int) {
	ownThread()
	defer unix.Close(fd)
	buffer := make([]byte, 2048)
	for ctx.Err() == nil {
		n, from, err := unix.Recvfrom(fd, buffer, 0)
		if err == nil {
			_ = unix.Sendto(fd, buffer[:n], 0, from)
		}
	}
}
