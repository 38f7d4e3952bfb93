package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// A namespace is a named network namespace of the bench's own.
type namespace struct {
	name string
	fd   netns.NsHandle
	nl   *netlink.Handle
}

// newNamespace makes a namespace with its loopback up; the caller closes it.
func newNamespace(name string) (*namespace, error) {
	n := &namespace{name: name}
	err := onOwnThread(func() error {
		var err error
		n.fd, err = netns.NewNamed(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w (the bench must run as root)", name, err)
	}
	if n.nl, err = netlink.NewHandleAt(n.fd); err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink in %s: %w", name, err), n.close())
	}
	lo, err := n.nl.LinkByName("lo")
	if err == nil {
		err = n.nl.LinkSetUp(lo)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set lo up in %s: %w", name, err), n.close())
	}
	return n, nil
}

// close removes the namespace with everything in it.
func (n *namespace) close() error {
	if n.nl != nil {
		n.nl.Close()
	}
	return errors.Join(n.fd.Close(), netns.DeleteNamed(n.name))
}

// do runs f on a thread that is in the namespace.
func (n *namespace) do(f func() error) error {
	return onOwnThread(func() error {
		if err := netns.Set(n.fd); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", n.name, err)
		}
		return f()
	})
}

// sysctl writes a setting; name has slashes.
func (n *namespace) sysctl(name, value string) error {
	return n.do(func() error { return writeSysctl(name, value) })
}

func writeSysctl(name, value string) error {
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
		return fmt.Errorf("sysctl %s=%s: %w", name, value, err)
	}
	return nil
}

// onOwnThread runs f on a thread of its own, which ends with it: what f does to
// the thread (its namespace, its CPUs) stays with it.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}
