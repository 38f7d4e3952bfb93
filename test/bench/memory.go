package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memory is what one access to a table costs on this machine, beside which the
// flows' costs are to be read: a walk through all lines of tables of 2 to 512 MiB in
// random order, each read's place known only from the one before, in pages of 4 KiB
// as those of BPF maps.
func memory() (string, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var list []string
	for _, mib := range []int{2, 32, 512} {
		latency, err := randomRead(mib << 20)
		if err != nil {
			return "", err
		}
		list = append(list, fmt.Sprintf("%.0f ns in %d MiB", latency, mib))
	}
	return "memory: a random read takes " + strings.Join(list, ", "), nil
}

func randomRead(size int) (nanoseconds float64, err error) {
	const line, reads = 8, 2_000_000 // a line in words
	area, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return 0, fmt.Errorf("map %d bytes: %w", size, err)
	}
	defer unix.Munmap(area)
	_ = unix.Madvise(area, unix.MADV_NOHUGEPAGE) // a kernel without huge pages refuses
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&area[0])), size/8)
	order := rand.Perm(size / 8 / line)
	for i, at := range order {
		words[at*line] = uint64(order[(i+1)%len(order)] * line)
	}
	at := uint64(0)
	begun := time.Now()
	for range reads {
		at = words[at]
	}
	took := time.Since(begun)
	runtime.KeepAlive(at)
	return float64(took.Nanoseconds()) / reads, nil
}
