//go:build unix

package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// errForeignLink: a symbolic link that somebody else has put where everybody
// may, to have another file written.
var errForeignLink = errors.New("it is a symbolic link of somebody else in a directory that everybody may write to")

// mayFollow refuses links that the kernel does not follow when a file is opened
// for writing (sysctl fs.protected_symlinks), since what is renamed over a
// link's target is not opened by its name.
func mayFollow(path string) error {
	link, err := os.Lstat(path)
	if err != nil || link.Mode()&fs.ModeSymlink == 0 {
		return nil // there is none to follow
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if trustedLink(dir.Mode(), owner(dir), owner(link), os.Geteuid()) {
		return nil
	}
	return errForeignLink
}

// trustedLink is the kernel's rule: any link outside of a sticky directory that
// everybody may write to; in there, our own and those of the directory's owner.
func trustedLink(dir fs.FileMode, dirOwner, linkOwner, us int) bool {
	shared := dir&fs.ModeSticky != 0 && dir.Perm()&0o002 != 0
	return !shared || linkOwner == us || linkOwner == dirOwner
}

// owner is the number of the user that a file belongs to, -1 if it is unknown.
func owner(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}
