package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/disk"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/loader"
	"go.uber.org/zap"
)

// ZeroFile is the name, in the run directory, of what the counters were when an operator
// set them to 0. It outlives daemons, and ends with the counters: at a boot.
const ZeroFile = "zero.json"

// zero is what the counters were then. The zero value: nobody did.
type zero struct {
	api.Zero
	Traffic map[loader.BackendID]api.Traffic `json:"traffic"`
}

// Zero implements api.Controller. The kernel is read outside of the owning goroutine, as
// in Vips.
func (c *Controller) Zero(ctx context.Context) (api.Zero, error) {
	traffic, err := c.Loader.Traffic()
	if err != nil {
		return api.Zero{}, err
	}
	return ask(ctx, c, func() (api.Zero, error) {
		now, err := c.stats()
		if err != nil {
			return api.Zero{}, err
		}
		next := zero{Zero: api.Zero{
			Time: now.Time.Round(0), Author: api.Caller(ctx), XDP: now.XDP, TC: now.TC, Devices: now.Devices,
		}, Traffic: map[loader.BackendID]api.Traffic{}}
		for id, t := range traffic {
			next.Traffic[id] = trafficView(t)
		}
		if err := c.keepZero(next); err != nil {
			return api.Zero{}, err
		}
		c.events.Info(event.Zeroed, "counters set to 0", zap.String("author", next.Author))
		return api.Zero{Time: next.Time, Author: next.Author}, nil
	})
}

// zeroView is nil if nobody set the counters to 0.
func (c *Controller) zeroView() *api.Zero {
	if c.zero.Time.IsZero() {
		return nil
	}
	view := c.zero.Zero
	return &view
}

// recallZero takes over what an earlier daemon kept, unless the counters began anew.
func (c *Controller) recallZero(reasons func() (loader.Reasons, error)) error {
	data, err := os.ReadFile(c.zeroFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var kept zero
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err != nil {
		return fmt.Errorf("read when the counters were set to 0: %w", err)
	}
	now, err := reasons()
	if err != nil {
		return err
	}
	if less(counts(now.XDP), kept.XDP) || less(counts(now.TC), kept.TC) {
		return os.Remove(c.zeroFile())
	}
	c.zero = kept
	return nil
}

// less says whether a counter has less than it had.
func less(now, before []api.Count) bool {
	had := map[string]uint64{}
	for _, count := range before {
		had[count.Name] = count.Packets
	}
	for _, count := range now {
		if count.Packets < had[count.Name] {
			return true
		}
	}
	return false
}

// forgetZeroOf is about backends that were given up: the next ones of these numbers
// count from 0 by themselves.
func (c *Controller) forgetZeroOf(ids map[loader.BackendID]bool) {
	if len(ids) == 0 || len(c.zero.Traffic) == 0 {
		return
	}
	next := zero{c.zero.Zero, maps.Clone(c.zero.Traffic)}
	for id := range ids {
		if _, stays := c.have.Backends[id]; !stays {
			delete(next.Traffic, id)
		}
	}
	if len(next.Traffic) < len(c.zero.Traffic) {
		c.complain("forget the counters of removed reals", c.keepZero(next))
	}
}

// keepZero writes the file, then the state: either both, or neither.
func (c *Controller) keepZero(next zero) error {
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := (disk.Disk{}).Replace(c.zeroFile(), data, 0o600); err != nil && !errors.Is(err, disk.ErrUnsynced) {
		return fmt.Errorf("keep what the counters are: %w", err)
	}
	c.zero = next
	return nil
}

func (c *Controller) zeroFile() string { return filepath.Join(c.RunDir, ZeroFile) }
