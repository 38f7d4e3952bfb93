package control

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/disk"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/revision"
	"github.com/tarpon-lb/tarpon/loader"
)

// An Identity is which router of a pair this is, where that is not left to the
// configuration and the machine.
type Identity struct {
	Router  string // its name; empty: hostname and addresses say it
	KeyFile string // of its key; empty: pair.sync.key_file says it
}

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
// file's, maybe a *config.Errors. Interfaces that are not there are awaited, but for
// those of a file that was edited: there they may be a slip of the pen. Nothing is
// written.
func Load(path, stateDir string, self Identity, h *host.Host) (Loaded, error) {
	store, err := revision.Open(disk.Disk{}, filepath.Join(stateDir, "revisions"), path)
	if err != nil {
		return Loaded{}, err
	}
	loaded := Loaded{Revisions: store}
	facts, err := facts(h, self)
	if err != nil {
		return Loaded{}, err
	}
	last := store.Last()
	data, err := os.ReadFile(path)
	hasRun := last.Number == 0 || last.Hash == config.HashOf(data)
	facts.Awaits = func(string) bool { return hasRun }
	if err == nil {
		loaded.File, err = config.Open(path, data, facts)
	} else {
		err = fmt.Errorf("read the configuration: %w", err)
	}
	if err == nil {
		err = stays(path, loaded.File, store, last)
	}
	if err != nil && last.Number > 0 {
		loaded.Broken, hasRun = err, true
		if data, err = store.File(last.Number); err == nil {
			loaded.File, err = config.Open(path, data, facts)
		}
		if err != nil {
			return Loaded{}, loaded.Broken
		}
	}
	return loaded, err
}

// stays refuses a file by which a router of a pair would start alone.
func stays(name string, file *config.File, store *revision.Store, last revision.Revision) error {
	if last.Number == 0 || last.Hash == config.HashOf(file.Data) {
		return nil
	}
	data, err := store.File(last.Number)
	if err != nil {
		return nil // it is as if there were none
	}
	before, err := config.Parse(name, data)
	if err != nil {
		return nil
	}
	return config.ValidateStay(name, before, file.Config)
}

// facts are what this machine is to a configuration.
func facts(h *host.Host, self Identity) (facts config.Facts, err error) {
	facts.Router, facts.KeyFile, facts.Files = self.Router, self.KeyFile, os.DirFS("/")
	if facts.Hostname, err = os.Hostname(); err != nil {
		return facts, err
	}
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
	facts.Listeners = sync.OnceValues(listeners) // the kernel goes over all of its sockets for it
	return facts, nil
}

func listeners() (list []config.Listener, err error) {
	found, err := host.Listeners()
	for _, l := range found {
		protocol := loader.TCP
		if l.Protocol == "udp" {
			protocol = loader.UDP
		}
		list = append(list, config.Listener{Address: l.Addr, Protocol: protocol})
	}
	return list, err
}

// editedByHand says whether the file is another than the one that runs.
func (c *Controller) editedByHand() (bool, error) { return c.editedSince(c.file) }

func (c *Controller) editedSince(file *config.File) (bool, error) {
	data, err := os.ReadFile(c.ConfigFile)
	if err != nil {
		return false, err
	}
	return !bytes.Equal(data, file.Data), nil
}
