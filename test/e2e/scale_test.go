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

// many is the lab's configuration with other vips: without checks, 64 to an address,
// routed to us.
func many(t *testing.T, l *lab.Lab, vips, reals int) {
	t.Helper()
	var b strings.Builder
	b.WriteString(strings.Replace(configFile(t, l), "vips: []\n", "", 1))
	b.WriteString("vips:\n")
	for i := range vips {
		fmt.Fprintf(&b, "  - vip: 198.18.0.%d:%d\n    leg: none\n    check: none\n    reals:\n", 1+i/64, 1000+i%64)
		for r := range reals {
			n := i*reals + r
			fmt.Fprintf(&b, "      - 10.%d.%d.%d:8080\n", 1+n/65536, n/256%256, n%256)
		}
	}
	if err := os.WriteFile(l.Config(), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A large router starts, and a change of it is in the kernel's maps; how long both
// take is printed.
func TestScale(t *testing.T) {
	for _, size := range []struct{ vips, reals int }{{1000, 64}, {16000, 4}} {
		t.Run(fmt.Sprintf("%d vips of %d reals", size.vips, size.reals), func(t *testing.T) {
			l := bareLab(t, lab.Options{})
			many(t, l, size.vips, size.reals)
			begun := time.Now()
			if err := l.StartDaemon(); err != nil {
				t.Fatal(err)
			}
			t.Logf("start: %v", time.Since(begun).Round(time.Millisecond))
			client := api.NewClient(filepath.Join(l.Dir, "run", "tarpond.sock"))
			var inMaps, answered []time.Duration
			for range 10 {
				begun = time.Now()
				if _, err := client.AddReal(t.Context(), "198.18.0.5:1005", api.NewReal{Real: "10.200.0.1:8080"}, api.Options{}); err != nil {
					t.Fatal(err)
				}
				answered = append(answered, time.Since(begun))
				inMaps = append(inMaps, lastStep(t, l).Sub(begun))
				addresses, err := l.Run("router", "bpftool", "map", "lookup", "pinned", filepath.Join(l.Dir, "bpf/tarpon/v1/maps/addresses4"),
					"key", "10", "200", "0", "1")
				if err != nil || strings.Contains(addresses, "Not found") {
					t.Fatalf("the real is not in the maps: %v: %s", err, addresses)
				}
				if _, err := client.DeleteReal(t.Context(), "198.18.0.5:1005", "10.200.0.1:8080", api.Options{}); err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(inMaps)
			slices.Sort(answered)
			t.Logf("a real added, median: in the maps after %v, answered after %v",
				inMaps[5].Round(time.Millisecond), answered[5].Round(time.Millisecond))
		})
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
