package control

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tarpon-lb/tarpon/control/api"
)

// devices reads what the kernel counts of some interfaces, in the namespace of the
// calling thread (proc_net(5)).
func devices(names []string) ([]api.Device, error) {
	file, err := os.Open("/proc/thread-self/net/dev")
	if err != nil {
		return nil, fmt.Errorf("read the devices' counters: %w", err)
	}
	defer file.Close()
	list := []api.Device{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, rest, ok := strings.Cut(lines.Text(), ":")
		name = strings.TrimSpace(name)
		if !ok || !slices.Contains(names, name) {
			continue
		}
		d := api.Device{Interface: name}
		var skip uint64
		_, err := fmt.Sscan(rest, &d.RxBytes, &d.RxPackets, &d.RxErrors, &d.RxDropped, &skip, &skip, &skip, &skip,
			&d.TxBytes, &d.TxPackets, &d.TxErrors, &d.TxDropped)
		if err != nil {
			return nil, fmt.Errorf("read the counters of %s: %w", name, err)
		}
		list = append(list, d)
	}
	return list, nil
}
