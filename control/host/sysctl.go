package host

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	procSys        = "/proc/sys"
	procIPv6Routes = "/proc/thread-self/net/ipv6_route"
)

// A SysctlChange is one sysctl that was set or put back.
type SysctlChange struct {
	Name     string // as sysctl(8) writes it
	Old, New string
}

func (c SysctlChange) String() string { return fmt.Sprintf("%s: %s -> %s", c.Name, c.Old, c.New) }

// Sysctls is what SetSysctls did, in order, and what it left alone and why.
type Sysctls struct {
	Changes []SysctlChange
	Notes   []string
}

// sysctls reads and writes the tree at root. All of net/ there belongs to the
// network namespace of the thread that opens the file.
type sysctls struct {
	root       string
	ipv6Routes string
}

// A wish is a value that a sysctl should have.
type wish struct {
	path  string // below /proc/sys
	value string
	leg   string // whose; "" for `all`
	ipv6  bool
}

// wishes lists what the legs need, in the order of setting. Per leg only:
// `default` would change interfaces that are not ours, and the kernel ORs or
// takes the greater of `all` and the leg's value for most of these. The one
// `all` is send_redirects, where OR means that the leg's 0 alone does nothing:
// on a one-armed router every forwarded packet leaves by where it came from.
func wishes(legs []string, oneArmed bool) []wish {
	var list []wish
	if oneArmed {
		list = append(list, wish{path: "net/ipv4/conf/all/send_redirects", value: "0"})
	}
	for _, leg := range legs {
		for _, s := range []struct{ name, value string }{
			{"arp_ignore", "1"},
			{"arp_announce", "2"},
			{"arp_notify", "0"},
			{"send_redirects", "0"},
			{"accept_redirects", "0"},
			// An XDP look-up of a route answers "forwarding off" without it.
			{"forwarding", "1"},
		} {
			list = append(list, wish{path: "net/ipv4/conf/" + leg + "/" + s.name, value: s.value, leg: leg})
		}
		list = append(list,
			wish{path: "net/ipv6/conf/" + leg + "/ndisc_notify", value: "0", leg: leg, ipv6: true},
			wish{path: "net/ipv6/conf/" + leg + "/forwarding", value: "1", leg: leg, ipv6: true})
	}
	return list
}

// SetSysctls sets what the interfaces of the legs need, records the old values
// and puts back those of interfaces that are legs no longer. A second call with
// the same legs repairs what somebody changed; without a difference it does
// nothing. An interface that does not exist has none. It goes on after an error,
// and returns them joined.
func (h *Host) SetSysctls(legs []string, oneArmed bool) (Sysctls, error) {
	h.apply.Lock()
	defer h.apply.Unlock()
	var (
		result Sysctls
		errs   []error
	)
	index := h.interfaceIndexes()
	wanted := map[string]bool{}
	withoutIPv6 := map[string]bool{}
	for _, w := range wishes(legs, oneArmed) {
		wanted[w.path] = true
		if w.leg != "" && index[w.leg] == 0 {
			continue
		}
		if w.ipv6 && !h.sysctls.exists(filepath.Dir(w.path)) {
			if !withoutIPv6[w.leg] && h.sysctls.exists("net/ipv4/conf/"+w.leg) {
				result.Notes = append(result.Notes, fmt.Sprintf("IPv6 is off on %s: its IPv6 sysctls are left alone", w.leg))
			}
			withoutIPv6[w.leg] = true
			continue
		}
		if w.ipv6 && strings.HasSuffix(w.path, "/forwarding") {
			if err := h.keepRouterAdvertisements(w, index, &result); err != nil {
				errs = append(errs, err)
				continue // better no forwarding than no default route
			}
		}
		if err := h.setSysctl(w, index[w.leg], &result); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, h.restoreSysctls(index, &result, func(s MadeSysctl) bool {
		leg, isAcceptRA := acceptRALeg(s.Name)
		return !wanted[s.Name] && !(isAcceptRA && slices.Contains(legs, leg))
	}))
	return result, errors.Join(errs...)
}

// setSysctl records the old value, then writes the new one.
func (h *Host) setSysctl(w wish, index int, result *Sysctls) error {
	old, err := h.sysctls.read(w.path)
	if err != nil {
		return fmt.Errorf("read sysctl %s: %w", dotted(w.path), err)
	}
	if old == w.value {
		return nil
	}
	record := MadeSysctl{Name: w.path, Index: index, Old: old, Set: w.value}
	if made, ok := h.made.sysctl(w.path); ok && made.Index == index {
		record.Old = made.Old // somebody changed it back: what was there before us stays the old value
	}
	if err := h.made.putSysctl(record); err != nil {
		return err
	}
	if err := h.sysctls.write(w.path, w.value); err != nil {
		return fmt.Errorf("set sysctl %s = %s: %w; is /proc/sys writable for this service?", dotted(w.path), w.value, err)
	}
	result.Changes = append(result.Changes, SysctlChange{dotted(w.path), old, w.value})
	return nil
}

// keepRouterAdvertisements sets accept_ra=2 where a default route was learned
// from a router advertisement, if forwarding is about to be turned on: the
// kernel then deletes all such routes of the namespace whose interface has
// another accept_ra, and would not learn them again on this leg. On an
// interface that is no leg it is put back right after.
func (h *Host) keepRouterAdvertisements(forwarding wish, index map[string]int, result *Sysctls) error {
	if value, err := h.sysctls.read(forwarding.path); err != nil || value == forwarding.value {
		return nil // nothing to turn on, or setSysctl says why not
	}
	learned, err := h.sysctls.interfacesWithLearnedDefault()
	if err != nil {
		return err
	}
	for _, name := range learned {
		w := wish{path: "net/ipv6/conf/" + name + "/accept_ra", value: "2", leg: name, ipv6: true}
		if value, err := h.sysctls.read(w.path); err != nil || value == w.value {
			continue
		}
		if err := h.setSysctl(w, index[name], result); err != nil {
			return err
		}
		result.Notes = append(result.Notes, fmt.Sprintf("%s: its IPv6 default route was learned from a router advertisement and is kept by accept_ra=2 while forwarding is turned on", name))
	}
	return nil
}

// restoreSysctls puts back what chosen selects of what we changed. A value that
// somebody changed since is theirs and stays. accept_ra comes last: forwarding
// must be off again before it loses its 2.
func (h *Host) restoreSysctls(index map[string]int, result *Sysctls, chosen func(MadeSysctl) bool) error {
	made := h.made.Sysctls()
	slices.SortStableFunc(made, func(a, b MadeSysctl) int {
		_, isA := acceptRALeg(a.Name)
		_, isB := acceptRALeg(b.Name)
		return boolOrder(isA) - boolOrder(isB)
	})
	var errs []error
	for _, s := range made {
		if !chosen(s) {
			continue
		}
		if err := h.restoreSysctl(s, index, result); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, h.made.dropSysctl(s.Name))
	}
	return errors.Join(errs...)
}

func (h *Host) restoreSysctl(s MadeSysctl, index map[string]int, result *Sysctls) error {
	if s.Index != 0 && index[sysctlInterface(s.Name)] != s.Index {
		return nil // the interface is gone, and its values with it
	}
	value, err := h.sysctls.read(s.Name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && value == s.Old {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read sysctl %s: %w", dotted(s.Name), err)
	}
	if value != s.Set {
		result.Notes = append(result.Notes, fmt.Sprintf("%s is %s, which is not ours (we set %s): left alone", dotted(s.Name), value, s.Set))
		return nil
	}
	if err := h.sysctls.write(s.Name, s.Old); err != nil {
		return fmt.Errorf("put back sysctl %s = %s: %w", dotted(s.Name), s.Old, err)
	}
	result.Changes = append(result.Changes, SysctlChange{dotted(s.Name), value, s.Old})
	return nil
}

func (s sysctls) exists(path string) bool {
	_, err := os.Stat(filepath.Join(s.root, path))
	return err == nil
}

func (s sysctls) read(path string) (string, error) {
	data, err := os.ReadFile(filepath.Join(s.root, path))
	return strings.TrimSpace(string(data)), err
}

func (s sysctls) write(path, value string) error {
	return os.WriteFile(filepath.Join(s.root, path), []byte(value+"\n"), 0o644)
}

// Flags of a route in /proc/net/ipv6_route.
const (
	rtfDefault  = 0x00010000 // learned from a router advertisement
	rtfAddrconf = 0x00040000
)

// interfacesWithLearnedDefault lists the interfaces of IPv6 default routes that
// the kernel itself learned. /proc shows the very flags by which it deletes
// them; netlink's `proto ra` is also what networkd writes on routes of its own.
func (s sysctls) interfacesWithLearnedDefault() ([]string, error) {
	data, err := os.ReadFile(s.ipv6Routes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read IPv6 routes: %w", err)
	}
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		// destination, its length, source, its length, gateway, metric, references, use, flags, interface
		field := strings.Fields(lines.Text())
		if len(field) != 10 || field[1] != "00" || strings.Trim(field[0], "0") != "" {
			continue
		}
		flags, err := strconv.ParseUint(field[8], 16, 32)
		if err != nil || flags&(rtfDefault|rtfAddrconf) == 0 || slices.Contains(names, field[9]) {
			continue
		}
		names = append(names, field[9])
	}
	return names, nil
}

// acceptRALeg returns the interface of an accept_ra sysctl.
func acceptRALeg(path string) (leg string, ok bool) {
	return sysctlInterface(path), strings.HasPrefix(path, "net/ipv6/") && filepath.Base(path) == "accept_ra"
}

func sysctlInterface(path string) string { return filepath.Base(filepath.Dir(path)) }

// dotted is a path as sysctl(8) writes it: a dot in an interface's name becomes a slash.
func dotted(path string) string {
	return strings.NewReplacer("/", ".", ".", "/").Replace(path)
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}
