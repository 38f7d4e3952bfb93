package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/tarpon-lb/tarpon/test/lab"
)

const (
	manyVips  = 10
	manyReals = 1000 // of all vips
)

// No restart, however it comes about, moves a single slot of a schedule, though half of
// a thousand reals are down; no request fails meanwhile.
func TestRestartsKeepSchedules(t *testing.T) {
	l := bareLab(t, lab.Options{MaxFlows: 1 << 19})
	halfDown(t, l)
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	awaitChecks(t, l)
	shown, err := l.Status()
	if err != nil || shown.RealsUp != manyReals/2 {
		t.Fatalf("%d reals are up (%v)", shown.RealsUp, err)
	}
	scheduled := readSchedules(t, l)
	before := scheduled()
	sampled := repeat(t, func(ctx context.Context) {
		if now := scheduled(); !bytes.Equal(now, before) {
			t.Error("a schedule has changed")
			before = now
		}
		time.Sleep(5 * time.Millisecond)
	})

	var out strings.Builder
	ab := l.Command("client", "ab", "-q", "-t", "120", "-n", "10000000", "-c", "5", "-s", "3", "http://"+lab.Vip4(0)+":1000/")
	ab.Stdout, ab.Stderr = &out, &out
	if err := l.Start(ab); err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		switch n % 3 {
		case 0:
			err = errors.Join(l.KillDaemon(syscall.SIGKILL), l.StartDaemon())
		case 1:
			err = errors.Join(l.KillDaemon(syscall.SIGTERM), l.StartDaemon())
		case 2:
			_, err = l.MustLbctl("restart")
		}
		if err != nil {
			t.Fatal(err)
		}
		awaitChecks(t, l)
	}
	if samples := sampled(); samples < 100 {
		t.Errorf("the schedules were read only %d times", samples)
	}
	if err := ab.Process.Signal(syscall.SIGINT); err != nil { // it prints what it has
		t.Fatal(err)
	}
	_ = ab.Wait()
	if m := regexp.MustCompile(`Complete requests:\s+(\d+)\nFailed requests:\s+0\n`).FindStringSubmatch(out.String()); m == nil || len(m[1]) < 4 {
		t.Errorf("ab over the restarts:\n%s", out.String())
	}
}

// halfDown configures many reals: addresses behind the lab's servers, on port 80,
// where somebody listens, or on 81.
func halfDown(t *testing.T, l *lab.Lab) {
	t.Helper()
	var b strings.Builder
	file := strings.Replace(configFile(t, l), "vips: []\n", "", 1)
	b.WriteString(regexp.MustCompile(`quick: .*`).ReplaceAllString(file, "quick: {type: tcp, interval: 2s, timeout: 1s, rise: 1, fall: 2}"))
	b.WriteString("vips:\n")
	for i := range manyReals {
		if each := manyReals / manyVips; i%each == 0 {
			fmt.Fprintf(&b, "  - vip: %s:%d\n    reals:\n", lab.Vip4(0), 1000+i/each)
		}
		server, n := 1+i%lab.Reals, i/lab.Reals
		fmt.Fprintf(&b, "      - 10.%d.%d.%d:%d\n", server, n/200, 1+n%200, 80+i%2)
	}
	if err := os.WriteFile(l.Config(), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= lab.Reals; n++ {
		network := fmt.Sprintf("10.%d.0.0/16", n)
		for who, route := range map[string][]string{
			fmt.Sprintf("real%d", n): {"ip", "route", "add", "local", network, "dev", "lo"},
			"router":                 {"ip", "route", "add", network, "via", l.Real4(n)},
		} {
			if out, err := l.Run(who, route...); err != nil {
				t.Fatalf("%v: %v: %s", route, err, out)
			}
		}
		if err := l.StartNginx(n); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitChecks waits until every real was asked since the daemon started.
func awaitChecks(t *testing.T, l *lab.Lab) {
	t.Helper()
	if err := lab.Wait(30*time.Second, func() error {
		s, err := l.Status()
		if err == nil && s.Checks.Done < manyReals {
			err = fmt.Errorf("%d checks done", s.Checks.Done)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// readSchedules returns what reads the words of all vips' schedules (bpf/abi.h: first
// line, slots << 32, kind << 56), and the lines that they name.
func readSchedules(t *testing.T, l *lab.Lab) func() []byte {
	t.Helper()
	memory := map[string]*ebpf.Memory{}
	for _, name := range []string{"vips", "schedules"} {
		m, err := ebpf.LoadPinnedMap(filepath.Join(l.Dir, "bpf/tarpon/v1/maps", name), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		if memory[name], err = m.Memory(); err != nil {
			t.Fatal(err)
		}
	}
	const line, record = 64, 64
	return func() (read []byte) {
		for id := 1; id <= manyVips; id++ {
			word := make([]byte, 8)
			if _, err := memory["vips"].ReadAt(word, int64(id)*record); err != nil {
				t.Fatal(err)
			}
			w := binary.NativeEndian.Uint64(word)
			lines := make([]byte, (w>>32&0xffffff*2+line-1)/line*line)
			if _, err := memory["schedules"].ReadAt(lines, int64(uint32(w))*line); err != nil {
				t.Fatal(err)
			}
			read = append(append(read, word...), lines...)
		}
		return read
	}
}
