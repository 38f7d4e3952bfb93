package loader

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// pins is the locked pin directory, BPFFS/tarpon:
//
//	v1/maps/NAME      every map of bpf/maps.h, and the secrets of the hash
//	v1/links/xdp-7    the XDP link of the interface with index 7
//	v1/links/tcx-7    its TC link (kernel 6.6 on)
//	v1/links/lease-7  the TC link of what leaves it (kernel 6.6 on)
//	v1/clsact/7       an empty directory: we made the interface's clsact (before 6.6)
//	v1/readers/0      an empty directory: versions of layout 0 can read the tables too
//
// v1 is the layout's version, and all of it is a set. While flows come over from one
// set to another there are two: see sets.go.
type pins struct {
	directory *os.File // holds the lock
	path      string   // BPFFS/tarpon
	set       string   // path of the set in use
	before    string   // path of the set that flows come over from; empty: none
}

const bpfFSMagic = 0xcafe4a11

func openPins(bpffs string, held *os.File) (_ *pins, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(bpffs, &stat); err != nil || uint32(stat.Type) != bpfFSMagic {
		return nil, fmt.Errorf("%s is not a mounted bpffs: mount -t bpf bpf %s", bpffs, bpffs)
	}
	p := &pins{path: pinDirectory(bpffs)}
	if err := makeDirectories(p.path); err != nil {
		return nil, err
	}
	if p.directory, err = lock(p.path, held); err != nil {
		return nil, fmt.Errorf("%w: stop it, or give this one its own --bpffs", err)
	}
	if err := p.choose(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func pinDirectory(bpffs string) string { return filepath.Join(bpffs, "tarpon") }

func makeDirectories(paths ...string) error {
	for _, path := range paths {
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("make the pin directory: %w", err)
		}
	}
	return nil
}

// lock holds the pin directory until the file is closed. held may hold it already.
func lock(path string, held *os.File) (*os.File, error) {
	if sameFile(path, held) {
		return held, nil
	}
	if held != nil {
		held.Close() // of other pins
	}
	directory, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(directory.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		directory.Close()
		return nil, fmt.Errorf("%s is held by another tarpond", path)
	}
	return directory, nil
}

func sameFile(path string, file *os.File) bool {
	if file == nil {
		return false
	}
	a, errA := os.Stat(path)
	b, errB := file.Stat()
	return errA == nil && errB == nil && os.SameFile(a, b)
}

func (p *pins) maps() string    { return filepath.Join(p.set, "maps") }
func (p *pins) links() string   { return filepath.Join(p.set, "links") }
func (p *pins) clsacts() string { return filepath.Join(p.set, "clsact") }

func (p *pins) close() error {
	if p.directory == nil {
		return nil
	}
	return p.directory.Close()
}

// openMap adopts a pinned map, or makes and pins one. The kernel must have what
// the spec says, but for the sizes that were chosen when it was made.
func (p *pins) openMap(spec *ebpf.MapSpec, log *zap.Logger) (*ebpf.Map, error) {
	path := filepath.Join(p.maps(), spec.Name)
	m, err := ebpf.LoadPinnedMap(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		m, err = ebpf.NewMap(spec)
		if err != nil {
			return nil, fmt.Errorf("make map %s: %w", spec.Name, err)
		}
		if err := m.Pin(path); err != nil {
			m.Close()
			return nil, fmt.Errorf("pin map %s: %w", spec.Name, err)
		}
		log.Debug("map made", zap.String("map", spec.Name), zap.Uint32("entries", spec.MaxEntries))
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open pinned map %s: %w", path, err)
	}
	wanted := spec.Copy()
	if sizedByOptions(spec.Name) {
		wanted.MaxEntries = m.MaxEntries()
	}
	if err := wanted.Compatible(m); err != nil {
		m.Close()
		return nil, fmt.Errorf("pinned map %s is not this version's: %w", path, err)
	}
	spec.MaxEntries = m.MaxEntries()
	return m, nil
}

func sizedByOptions(name string) bool {
	switch name {
	case "flows4", "flows6", "dirty4", "dirty6":
		return true
	}
	return false
}

// secrets are made once for the life of the flow table: its places follow from
// them.
func (p *pins) secrets() (secrets [2]uint64, err error) {
	m, err := p.openMap(&ebpf.MapSpec{
		Name: "secrets", Type: ebpf.Array, KeySize: 4, ValueSize: 16, MaxEntries: 1,
	}, zap.NewNop())
	if err != nil {
		return secrets, err
	}
	defer m.Close()
	if err := m.Lookup(uint32(0), &secrets); err != nil {
		return secrets, fmt.Errorf("read the pinned secrets: %w", err)
	}
	if secrets != [2]uint64{} {
		return secrets, nil
	}
	var b [16]byte
	rand.Read(b[:])
	secrets = [2]uint64{binary.NativeEndian.Uint64(b[:]), binary.NativeEndian.Uint64(b[8:])}
	return secrets, m.Put(uint32(0), &secrets)
}
