package e2e

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// A serviceManager hears what a daemon tells systemd (sd_notify(3)).
type serviceManager struct {
	mu      sync.Mutex
	beats   int // for the watchdog
	last    time.Time
	longest time.Duration // between two
}

// watch has a lab's daemons be of a unit with WatchdogSec=.
func watch(t *testing.T, l *lab.Lab, interval time.Duration) *serviceManager {
	t.Helper()
	path := filepath.Join(l.Dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	l.Wrap = []string{"env", "NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=" + fmt.Sprint(interval.Microseconds())}
	m := &serviceManager{last: time.Now()}
	go func() {
		for buffer := make([]byte, 4096); ; {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			if strings.Contains(string(buffer[:n]), "WATCHDOG=1") {
				m.beat()
			}
		}
	}()
	return m
}

func (m *serviceManager) beat() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beats, m.longest, m.last = m.beats+1, max(m.longest, time.Since(m.last)), time.Now()
}

// heard is how often the daemon gave a sign of life since the last call, and how long it
// gave none, at most.
func (m *serviceManager) heard() (beats int, longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	beats, longest = m.beats, max(m.longest, time.Since(m.last)).Round(time.Millisecond)
	m.beats, m.longest, m.last = 0, 0, time.Now()
	return beats, longest
}

// A controller that takes over a large file answers nobody meanwhile, and says that it
// lives. Nothing else does: the watchdog's own question comes once in an hour.
func TestLargeReloadFeedsTheWatchdog(t *testing.T) {
	l := bareLab(t, lab.Options{})
	manager := watch(t, l, 3*time.Hour)
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	many(t, l, 1000, 4, "none")
	manager.heard()
	if _, err := api.NewClient(filepath.Join(l.Dir, "run", "tarpond.sock")).Reload(t.Context(), api.Options{}); err != nil {
		t.Fatal(err)
	}
	heard := 0
	if err := lab.Wait(5*time.Second, func() error {
		beats, _ := manager.heard()
		if heard += beats; heard < 8 { // after each long step, and thrice in that of 13,000 small ones
			return fmt.Errorf("the watchdog heard %d signs of life", heard)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
