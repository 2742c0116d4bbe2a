//go:build unix

package ek

import (
	"os"
	"path/filepath"
	"syscall"
)

// lock keeps other processes from editing a file of the same directory until
// unlock is called. The lock is on the directory, so that no file of it is left.
func lock(path string) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		_ = dir.Close() // only read
		return nil, err
	}
	return func() { _ = dir.Close() }, nil // closing releases the lock
}
