package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/loader"
)

// Loaded is a configuration file that was read.
type Loaded struct {
	File   []byte
	Config *config.Config
}

// Load reads a configuration file and finds its place on this machine. The error
// may be a *config.Errors.
func Load(path string, h *host.Host) (Loaded, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Loaded{}, fmt.Errorf("read the configuration: %w", err)
	}
	parsed, err := understand(path, data, h)
	return Loaded{data, parsed}, err
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
	return !bytes.Equal(data, c.file), nil
}

// writeFile replaces a file's content: at every moment it is the old one or the new
// one. Owner and mode of an existing file are kept, and a symlink is followed.
func writeFile(path string, data []byte, mode os.FileMode) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	defer temporary.Close()
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
		if err := copyOwner(temporary, info); err != nil {
			return err
		}
	}
	if _, err := temporary.Write(data); err != nil {
		return err
	}
	if err := errors.Join(temporary.Chmod(mode), temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	directory, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}

// revisionNote is what the state directory remembers of the running revision.
type revisionNote struct {
	Revision int         `json:"revision"`
	File     config.Hash `json:"file"`
}

func revisionFile(stateDir string) string { return filepath.Join(stateDir, "revision.json") }

// loadRevision is the file's revision: the last one if its bytes are the same, else
// the next.
func loadRevision(stateDir string, file []byte) int {
	var last revisionNote
	data, err := os.ReadFile(revisionFile(stateDir))
	if err != nil || json.Unmarshal(data, &last) != nil {
		last = revisionNote{}
	}
	if last.File == config.HashOf(file) {
		return last.Revision
	}
	_ = saveRevision(stateDir, last.Revision+1, file)
	return last.Revision + 1
}

func saveRevision(stateDir string, revision int, file []byte) error {
	data, err := json.Marshal(revisionNote{revision, config.HashOf(file)})
	if err != nil {
		return err
	}
	return writeFile(revisionFile(stateDir), data, 0o644)
}
