package control

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/disk"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/revision"
	"github.com/tarpon-lb/tarpon/loader"
)

// Loaded is the configuration that a router starts with.
type Loaded struct {
	*config.File
	Revisions *revision.Store
	// Broken is why not the file runs, but the last revision; usually nil.
	Broken error
}

// Load reads the configuration file and the revisions in the state directory, and
// finds the configuration's place on this machine. For a file that is broken or
// missing the last revision stands in. If there is none either, the error is the
// file's, maybe a *config.Errors. Nothing is written.
func Load(path, stateDir string, h *host.Host) (Loaded, error) {
	store, err := revision.Open(disk.Disk{}, filepath.Join(stateDir, "revisions"), path)
	if err != nil {
		return Loaded{}, err
	}
	loaded := Loaded{Revisions: store}
	data, err := os.ReadFile(path)
	if err == nil {
		loaded.File, err = understand(path, data, h)
	} else {
		err = fmt.Errorf("read the configuration: %w", err)
	}
	if last := store.Last(); err != nil && last.Number > 0 {
		loaded.Broken = err
		if data, err = store.File(last.Number); err == nil {
			loaded.File, err = understand(path, data, h)
		}
		if err != nil {
			return Loaded{}, loaded.Broken
		}
	}
	return loaded, err
}

// understand parses a file's bytes for this machine.
func understand(path string, data []byte, h *host.Host) (*config.File, error) {
	facts, err := facts(h)
	if err != nil {
		return nil, err
	}
	return config.Open(path, data, facts)
}

// facts are what this machine is to a configuration.
func facts(h *host.Host) (facts config.Facts, err error) {
	devices, err := h.Interfaces()
	if err != nil {
		return facts, fmt.Errorf("read the interfaces: %w", err)
	}
	for _, device := range devices {
		i := config.Interface{Name: device.Name, Kind: device.Kind, Master: device.Master, Parent: device.Parent}
		for _, a := range device.Addresses {
			if !a.Ours {
				i.Networks = append(i.Networks, a.Prefix)
			}
		}
		facts.Interfaces = append(facts.Interfaces, i)
	}
	if facts.Gateways, err = h.Gateways(); err != nil {
		return facts, err
	}
	listeners, err := host.Listeners()
	if err != nil {
		return facts, fmt.Errorf("read the listening sockets: %w", err)
	}
	for _, l := range listeners {
		protocol := loader.TCP
		if l.Protocol == "udp" {
			protocol = loader.UDP
		}
		facts.Listeners = append(facts.Listeners, config.Listener{Address: l.Addr, Protocol: protocol})
	}
	return facts, nil
}

// editedByHand says whether the file is another than the one that runs.
func (c *Controller) editedByHand() (bool, error) {
	data, err := os.ReadFile(c.ConfigFile)
	if err != nil {
		return false, err
	}
	return !bytes.Equal(data, c.file.Data), nil
}
