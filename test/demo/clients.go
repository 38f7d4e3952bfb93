package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// vip is what the demo balances.
func vip() string { return lab.Vip4(0) + ":80" }

func get(l *lab.Lab, vip string) (string, error) {
	out, err := l.Run("client", "curl", "-sS", "-m", "2", "http://"+vip+"/")
	if err != nil {
		return "", fmt.Errorf("curl http://%s/: %w: %s", vip, err, out)
	}
	return strings.TrimSpace(out), nil
}

// ask counts the answers to some requests by server.
func ask(l *lab.Lab, requests int) (map[string]int, error) {
	count := map[string]int{}
	for range requests {
		server, err := get(l, vip())
		if err != nil {
			return nil, err
		}
		count[server]++
	}
	return count, nil
}

func showCount(count map[string]int) {
	var names []string
	for name := range count {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		note("%-6s %3d  %s", name, count[name], strings.Repeat("#", count[name]))
	}
}

// meanwhile does something while ab makes requests, a connection each, and says how they
// went. One that fails is an error.
func meanwhile(l *lab.Lab, do func() error) error {
	ab := l.Command("client", "ab", "-q", "-t", "60", "-n", "9000000", "-c", "8", "-s", "5", "http://"+vip()+"/")
	var out bytes.Buffer
	ab.Stdout, ab.Stderr = &out, &out
	if err := l.Start(ab); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = ab.Wait(); close(ended) }()
	early := func() error {
		select {
		case <-ended:
			return fmt.Errorf("ab ended early:\n%s", out.String())
		default:
			return nil
		}
	}
	if err := lab.Wait(10*time.Second, func() error { return busy(l) }); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	if err := early(); err != nil {
		return err
	}
	if err := ab.Process.Signal(syscall.SIGINT); err != nil { // it says what it has
		return err
	}
	<-ended
	return showRequests(out.String())
}

// busy is an error until ab's connections are there.
func busy(l *lab.Lab) error {
	out, err := exec.Command("nsenter", "--net=/run/netns/"+l.NS("client"), "ss", "-Htn", "dst", lab.Vip4(0)).Output()
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(out)) == 0 {
		return fmt.Errorf("ab has no connection yet")
	}
	return nil
}

var (
	complete = regexp.MustCompile(`Complete requests:\s+(\d+)`)
	failed   = regexp.MustCompile(`Failed requests:\s+(\d+)`)
)

func showRequests(said string) error {
	done, bad := complete.FindStringSubmatch(said), failed.FindStringSubmatch(said)
	if done == nil || done[1] == "0" || bad == nil || bad[1] != "0" || strings.Contains(said, "Non-2xx") {
		return fmt.Errorf("ab says:\n%s", said)
	}
	fmt.Println()
	note("Meanwhile ab made %s requests: %s failed.", done[1], bad[1])
	return nil
}
