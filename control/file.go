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
	File      []byte
	Config    *config.Config
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
	loaded.File, loaded.Config, err = read(path, h)
	if last := store.Last(); err != nil && last.Number > 0 {
		loaded.Broken = err
		if loaded.File, err = store.File(last.Number); err == nil {
			loaded.Config, err = understand(path, loaded.File, h)
		}
		if err != nil {
			return Loaded{}, loaded.Broken
		}
	}
	return loaded, err
}

func read(path string, h *host.Host) ([]byte, *config.Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the configuration: %w", err)
	}
	parsed, err := understand(path, data, h)
	return data, parsed, err
}

// understand parses a file's bytes for this machine.
func understand(path string, data []byte, h *host.Host) (*config.Config, error) {
	devices, err := h.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("read the interfaces: %w", err)
	}
	var facts config.Facts
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
		return nil, err
	}
	listeners, err := host.Listeners()
	if err != nil {
		return nil, fmt.Errorf("read the listening sockets: %w", err)
	}
	for _, l := range listeners {
		protocol := loader.TCP
		if l.Protocol == "udp" {
			protocol = loader.UDP
		}
		facts.Listeners = append(facts.Listeners, config.Listener{Address: l.Addr, Protocol: protocol})
	}
	return config.ParseOn(path, data, facts)
}

// editedByHand says whether the file is another than the one that runs.
func (c *Controller) editedByHand() (bool, error) {
	data, err := os.ReadFile(c.ConfigFile)
	if err != nil {
		return false, err
	}
	return !bytes.Equal(data, c.edition.file), nil
}
