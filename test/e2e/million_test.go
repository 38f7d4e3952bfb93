package e2e

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/tarpon-lb/tarpon/test/lab"
	"golang.org/x/sys/unix"
)

// A million flows are told as they are read: neither process holds them.
func TestAMillionFlowsAreNotHeld(t *testing.T) {
	const flows, limit = 1_000_000, 8 << 20
	l := bareLab(t, lab.Options{MaxFlows: flows})
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	lbctl(t, l, "add-vip", vip4(), "--check", "none", "--real", l.Real4(1)+":80")
	fillFlows(t, l, flows)

	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			begun := time.Now()
			list := exec.Command(filepath.Join(bin, "lbctl"), "--socket", filepath.Join(l.Dir, "run/tarpond.sock"), "flows", "-o", format)
			out, err := list.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			daemon := watchMemory(t, l.DaemonPID())
			if err := l.Start(list); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			told := 0
			var reader *memory // of lbctl, from the first line on
			for lines.Scan() {
				if reader == nil {
					reader = watchMemory(t, list.Process.Pid)
				}
				if strings.Contains(lines.Text(), "established") {
					told++
				}
				if told%10_000 == 0 {
					daemon.look(t)
					reader.look(t)
				}
			}
			if err := list.Wait(); err != nil || told != flows {
				t.Errorf("%d flows of %d: %v", told, flows, err)
			}
			for who, grew := range map[string]int{"tarpond": daemon.grew(), "lbctl": reader.grew()} {
				if grew >= limit {
					t.Errorf("%s grew by %d KiB, which must be under %d", who, grew>>10, limit>>10)
				}
			}
			t.Logf("in %s tarpond grew by %d KiB, lbctl by %d", time.Since(begun).Round(time.Millisecond), daemon.grew()>>10, reader.grew()>>10)
		})
	}
}

// fillFlows writes established flows to the first vip's first backend into the table,
// wherever there is room: who lists asks for no hash. Its layout is in bpf/flow.h.
func fillFlows(t *testing.T, l *lab.Lab, flows int) {
	t.Helper()
	m, err := ebpf.LoadPinnedMap(filepath.Join(l.Dir, "bpf/tarpon/v1/maps/flows4"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	table, err := m.Memory()
	if err != nil {
		t.Fatal(err)
	}
	const vip, backend, established = 1, 1, 4
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &now); err != nil {
		t.Fatal(err)
	}
	seen := uint64(now.Nano()) >> 30 & 0xffffff
	slots := make([]byte, 0, 16*flows)
	for n := range uint32(flows) {
		client := uint64(binary.NativeEndian.Uint32(binary.BigEndian.AppendUint32(nil, 10<<24+n)))
		slots = binary.NativeEndian.AppendUint64(slots, client|uint64(n&0xffff)<<32|vip<<48)
		slots = binary.NativeEndian.AppendUint64(slots, backend|established<<32|seen<<40)
	}
	if _, err := table.WriteAt(slots, 0); err != nil {
		t.Fatal(err)
	}
}

// memory is what a process has of its own, as seen so far.
type memory struct{ pid, first, most int }

func watchMemory(t testing.TB, pid int) *memory {
	t.Helper()
	m := &memory{pid: pid}
	m.look(t)
	m.first = m.most
	return m
}

func (m *memory) grew() int { return m.most - m.first }

func (m *memory) look(t testing.TB) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(data), "RssAnon:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); !found || err != nil {
		return // it has just ended
	}
	m.most = max(m.most, kib<<10)
}
