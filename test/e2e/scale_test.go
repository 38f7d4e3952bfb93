package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// many is the lab's configuration with other vips: 64 to an address, routed to us.
func many(t testing.TB, l *lab.Lab, vips, reals int, check string) {
	t.Helper()
	var b strings.Builder
	text, _, _ := strings.Cut(configFile(t, l), "vips:")
	b.WriteString(text + "vips:\n")
	for i := range vips {
		fmt.Fprintf(&b, "  - vip: 198.18.%d.%d:%d\n    leg: none\n    check: %s\n    reals:\n", i/64/250, 1+i/64%250, 1000+i%64, check)
		for r := range reals {
			n := i*reals + r
			fmt.Fprintf(&b, "      - 10.128.%d.%d:8080\n", n/256, n%256)
		}
	}
	if err := os.WriteFile(l.Config(), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// realsEverywhere has the first real be all of them.
func realsEverywhere(t testing.TB, l *lab.Lab) {
	t.Helper()
	for _, command := range [][]string{
		{"real1", "ip", "route", "add", "local", "10.128.0.0/9", "dev", "lo"},
		{"router", "ip", "route", "add", "10.128.0.0/9", "via", l.Real4(1)},
	} {
		if out, err := l.Run(command[0], command[1:]...); err != nil {
			t.Fatalf("%v: %v: %s", command, err, out)
		}
	}
	if err := l.Echo(1, 8080); err != nil {
		t.Fatal(err)
	}
}

// A large router starts, checks its reals, and changes: in a little, which is in the
// kernel's maps, and in all. What that takes is printed, and how long a watchdog hears
// nothing meanwhile.
func TestScale(t *testing.T) {
	const tcp = "{type: tcp, interval: 10s, timeout: 5s}"
	for _, size := range []struct {
		vips, reals int
		check       string
	}{{10, 10, tcp}, {1000, 64, "none"}, {16000, 4, "none"}, {16000, 4, tcp}} {
		t.Run(fmt.Sprintf("%d vips of %d reals, check %.9s", size.vips, size.reals, size.check), func(t *testing.T) {
			l := bareLab(t, lab.Options{})
			realsEverywhere(t, l)
			manager := watch(t, l, 30*time.Millisecond) // so that every silence is the controller's
			many(t, l, size.vips, size.reals, size.check)
			begun := time.Now()
			if err := l.StartDaemon(); err != nil {
				t.Fatal(err)
			}
			t.Logf("start: %v", time.Since(begun).Round(time.Millisecond))
			client := api.NewClient(filepath.Join(l.Dir, "run", "tarpond.sock"))
			manager.heard()
			allUp(t, client, size.vips*size.reals)
			_, silent := manager.heard()
			t.Logf("all reals up: %v, silent for %v", time.Since(begun).Round(time.Millisecond), silent)
			used := watchMemory(t, l.DaemonPID())
			t.Logf("memory: %d MiB", used.most>>20)

			var inMaps, answered []time.Duration
			for range 10 {
				begun = time.Now()
				if _, err := client.AddReal(t.Context(), "198.18.0.1:1005", api.NewReal{Real: "10.200.0.1:8080"}, api.Options{}); err != nil {
					t.Fatal(err)
				}
				answered = append(answered, time.Since(begun))
				inMaps = append(inMaps, lastStep(t, l).Sub(begun))
				addresses, err := l.Run("router", "bpftool", "map", "lookup", "pinned", filepath.Join(l.Dir, "bpf/tarpon/v1/maps/addresses4"),
					"key", "10", "200", "0", "1")
				if err != nil || strings.Contains(addresses, "Not found") {
					t.Fatalf("the real is not in the maps: %v: %s", err, addresses)
				}
				if _, err := client.DeleteReal(t.Context(), "198.18.0.1:1005", "10.200.0.1:8080", api.Options{}); err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(inMaps)
			slices.Sort(answered)
			t.Logf("a real added, median: in the maps after %v (at most %v), answered after %v",
				inMaps[5].Round(time.Millisecond), inMaps[9].Round(time.Millisecond), answered[5].Round(time.Millisecond))

			text := configFile(t, l)
			for _, change := range []struct{ what, text string }{
				{"all changed", strings.ReplaceAll(text, "    leg: none\n", "    leg: none\n    on_fail: reset\n")},
				{"nothing", text[:strings.Index(text, "vips:")] + "vips: []\n"},
				{"all again", text},
			} {
				if err := os.WriteFile(l.Config(), []byte(change.text), 0o644); err != nil {
					t.Fatal(err)
				}
				manager.heard()
				begun = time.Now()
				if _, err := client.Reload(t.Context(), api.Options{}); err != nil {
					t.Fatal(err)
				}
				took := time.Since(begun)
				_, silent := manager.heard()
				used.look(t)
				t.Logf("reload, %s: %v, silent for %v", change.what, took.Round(time.Millisecond), silent)
			}
			allUp(t, client, size.vips*size.reals)
			used.look(t)
			t.Logf("memory: at most %d MiB", used.most>>20)
		})
	}
}

// allUp waits until all reals are.
func allUp(t testing.TB, client *api.Client, reals int) {
	t.Helper()
	if err := lab.Wait(time.Minute, func() error {
		s, err := client.Status(t.Context())
		if err == nil && s.RealsUp != reals {
			err = fmt.Errorf("%d reals are up, want %d", s.RealsUp, reals)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// lastStep is when the daemon wrote the last step into the maps, as its log says.
func lastStep(t *testing.T, l *lab.Lab) time.Time {
	t.Helper()
	data, err := os.ReadFile(l.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	line := text[strings.LastIndexByte(text[:strings.LastIndex(text, "\tstep\t")], '\n')+1:]
	stamp, _, _ := strings.Cut(line, "\t")
	at, err := time.Parse("2006-01-02T15:04:05.000Z07:00", stamp)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Changes that come all at once share revisions; none is lost, and one that is refused
// takes no other with it. How fast they are is printed.
func TestManyChangesAtOnce(t *testing.T) {
	l := newLab(t, lab.Options{})
	const vips, each = 10, 100
	vip := func(v int) string { return fmt.Sprintf("%s:%d", lab.Vip4(0), 1000+v) }
	for v := range vips {
		lbctl(t, l, "add-vip", vip(v), "--check", "none", "--real", l.Real4(1), "--real", l.Real4(2), "--real", l.Real4(3))
	}
	client := api.NewClient(filepath.Join(l.Dir, "run", "tarpond.sock"))
	// all asks for as many changes of every vip, and returns how many were refused.
	all := func(t *testing.T, change func(v, n int) (api.Result, error)) (refused int) {
		before := running(t, l).Revision
		var group sync.WaitGroup
		var mu sync.Mutex
		answered := map[int]bool{} // revisions
		begun := time.Now()
		for v := range vips {
			for n := range each {
				group.Go(func() {
					result, err := change(v, n)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						refused++
					} else {
						answered[result.Revision] = true
					}
				})
			}
		}
		group.Wait()
		made := running(t, l).Revision - before
		t.Logf("%d changes in %v, %d revisions", vips*each, time.Since(begun).Round(time.Millisecond), made)
		if made != len(answered) || made > vips*each/4 {
			t.Errorf("%d revisions were made, %d were told: they should be the same, and few", made, len(answered))
		}
		return refused
	}
	t.Run("weights", func(t *testing.T) {
		if refused := all(t, func(v, n int) (api.Result, error) {
			weight := 10 + n
			return client.EditReal(context.Background(), vip(v), l.Real4(1+n%lab.Reals), api.RealSettings{Weight: &weight}, api.Options{})
		}); refused > 0 {
			t.Errorf("%d changes were refused", refused)
		}
	})
	t.Run("reals", func(t *testing.T) {
		refused := all(t, func(v, n int) (api.Result, error) {
			real := fmt.Sprintf("10.0.0.%d:%d", 21+v, 1000+n)
			if n == 50 {
				real = "10.0.0.1:80" // the router itself
			}
			return client.AddReal(context.Background(), vip(v), api.NewReal{Real: real}, api.Options{})
		})
		if refused != vips {
			t.Errorf("%d changes were refused, want %d", refused, vips)
		}
	})
	list, err := l.Vips()
	if err != nil {
		t.Fatal(err)
	}
	for _, vip := range list {
		if len(vip.Reals) != lab.Reals+each-1 || vip.Reals[0].Weight < 10 {
			t.Errorf("%s has %d reals, want %d; the first has weight %d", vip.Vip, len(vip.Reals), lab.Reals+each-1, vip.Reals[0].Weight)
		}
	}
	contains(t, exits(t, l, 0, "plan", "-f", l.Config()), "no change")
	if out := lbctl(t, l, "reload"); !strings.HasPrefix(out, "unchanged") {
		t.Errorf("the file is not what runs: %s", out)
	}
}
