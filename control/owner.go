package control

import (
	"os"
	"syscall"
)

// copyOwner gives a new file the owner of the one it replaces.
func copyOwner(to *os.File, from os.FileInfo) error {
	stat, ok := from.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return to.Chown(int(stat.Uid), int(stat.Gid))
}
