//go:build unix

package upgrade

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a file the owner and the group of another.
func keepOwner(path string, of fs.FileInfo) error {
	owner, ok := of.Sys().(*syscall.Stat_t)
	if !ok {
		return nil // a system without owners
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mine, ok := info.Sys().(*syscall.Stat_t); ok && mine.Uid == owner.Uid && mine.Gid == owner.Gid {
		return nil
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}
