package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

func network(l *lab.Lab) error {
	say("1. A network: client, router, three web servers (network namespaces)")
	fmt.Print(`
    client          router lb1              switch      real1  10.0.0.11
  192.0.2.10 ----- wan [tarpond] lan ----- (bridge) --- real2  10.0.0.12
                    vip 192.0.2.100:80                  real3  10.0.0.13
`)
	for n := 1; n <= lab.Reals; n++ {
		if err := l.StartNginx(n); err != nil {
			return err
		}
	}
	return l.StartDaemon()
}

func configure(l *lab.Lab) error {
	say("2. A virtual server over them")
	if err := run(l.Router, "add-vip", vip(), "--name", "shop"); err != nil {
		return err
	}
	for n := 1; n <= lab.Reals; n++ {
		if err := run(l.Router, "add-real", "shop", l.Real4(n)); err != nil {
			return err
		}
	}
	return await(l, lab.Reals)
}

// await waits until so many reals of the vip are up, and it answers.
func await(l *lab.Lab, reals int) error {
	if err := l.WaitUp(vip()+"/tcp", reals); err != nil {
		return err
	}
	return lab.Wait(10*time.Second, func() error { _, err := get(l, vip()); return err })
}

func requests(l *lab.Lab) error {
	say("3. 60 requests: who answers, and whom the servers see")
	count, err := ask(l, 60)
	if err != nil {
		return err
	}
	showCount(count)
	if len(count) != lab.Reals {
		return fmt.Errorf("%d of %d servers answered", len(count), lab.Reals)
	}
	for n := 1; n <= lab.Reals; n++ {
		lines, err := clientLines(l.AccessLog(n))
		if err != nil {
			return err
		}
		if len(lines) == 0 {
			return fmt.Errorf("real%d did not see the client's address %s", n, lab.Client4)
		}
		note("real%d's log: %s", n, lines[len(lines)-1])
	}
	return nil
}

func clientLines(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var lines []string
	for s := bufio.NewScanner(file); s.Scan(); {
		if strings.HasPrefix(s.Text(), lab.Client4+" ") {
			lines = append(lines, s.Text()[:min(len(s.Text()), 60)])
		}
	}
	return lines, nil
}

func failure(l *lab.Lab) error {
	say("5. real2's web server dies; its health check (every 0.3 s) notices")
	if err := l.StopNginx(2); err != nil {
		return err
	}
	begun := time.Now()
	if err := await(l, lab.Reals-1); err != nil {
		return err
	}
	note("out of rotation after %s", time.Since(begun).Round(10*time.Millisecond))
	count, err := ask(l, 60)
	if err != nil {
		return fmt.Errorf("a request failed after real2 was out of rotation: %w", err)
	}
	showCount(count)
	if count["real2"] > 0 || len(count) != lab.Reals-1 {
		return fmt.Errorf("answers by %v, want real1 and real3 alone", count)
	}
	note("60 requests, none failed")
	if err := l.StartNginx(2); err != nil {
		return err
	}
	if err := await(l, lab.Reals); err != nil {
		return err
	}
	note("it is started again, and back")
	return nil
}
