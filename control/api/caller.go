package api

import (
	"context"
	"fmt"
	"net"
	"os/user"

	"golang.org/x/sys/unix"
)

type callerKey struct{}

// withCaller remembers who is at the other end of a connection.
func withCaller(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, callerKey{}, peer(conn))
}

// Caller is who asked, as "UID NAME"; empty if that is not known.
func Caller(ctx context.Context) string {
	caller, _ := ctx.Value(callerKey{}).(string)
	return caller
}

// peer asks the kernel, not the client.
func peer(conn net.Conn) string {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return ""
	}
	var credentials *unix.Ucred
	if err := raw.Control(func(fd uintptr) {
		credentials, _ = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || credentials == nil {
		return ""
	}
	uid := fmt.Sprint(credentials.Uid)
	if known, err := user.LookupId(uid); err == nil {
		return uid + " " + known.Username
	}
	return uid
}
