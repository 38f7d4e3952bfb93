package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// why asks the program itself what it would do.
func why(l *lab.Lab) error {
	say("4. Why does a packet go where it goes? And why does this one not arrive?")
	if err := run(l.Router, "explain", "--from", lab.Client4, "--to", "shop"); err != nil {
		return err
	}
	return run(l.Router, "explain", "--from", lab.Client4, "--to", lab.Vip4(0)+":443")
}

// mistake is the classic one: a real that answers past the router.
func mistake(l *lab.Lab) error {
	say("9. The classic mistake: real3's default gateway is not the router")
	blog := lab.Vip4(1) + ":80"
	if out, err := l.Run("real3", "ip", "route", "replace", "default", "via", l.Real4(2)); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := run(l.Router, "add-vip", blog, "--name", "blog", "--real", l.Real4(3)); err != nil {
		return err
	}
	if err := l.WaitUp(blog+"/tcp", 1); err != nil {
		return err
	}
	for range 3 {
		if out, err := l.Run("client", "curl", "-sS", "-m", "1", "http://"+blog+"/"); err == nil {
			return fmt.Errorf("the client got an answer that should have been lost: %s", out)
		}
	}
	fmt.Println()
	note("real3 answers its checks, and three clients hear nothing. Doctor?")
	if err := diagnosis(l, "no_replies"); err != nil {
		return err
	}
	if out, err := l.Run("real3", "ip", "route", "replace", "default", "via", "10.0.0.254"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	server, err := get(l, blog)
	if err != nil {
		return err
	}
	fmt.Println()
	note("Done so, and %s answers.", server)
	return run(l.Router, "doctor")
}

// diagnosis waits until the doctor has found something, and shows it.
func diagnosis(l *lab.Lab, kind string) error {
	err := lab.Wait(10*time.Second, func() error {
		out, _ := l.Lbctl("doctor", "-o", "json")
		if !strings.Contains(out, `"`+kind+`"`) {
			return fmt.Errorf("the doctor does not find %s: %s", kind, out)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return runTo(l.Router, 1, "doctor") // 1: there is something to be done
}

func overview(l *lab.Lab) error {
	say("10. How it stands")
	for _, args := range [][]string{{"status"}, {"vips"}, {"vips", "--stats"}} {
		if err := run(l.Router, args...); err != nil {
			return err
		}
	}
	return nil
}
