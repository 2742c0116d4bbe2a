//go:build unix

package ca

import (
	"fmt"
	"os"
	"syscall"
)

// lock keeps other processes from changing the directory until the function it
// returns is called. The lock is the kernel's and goes with the process.
func lock(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the CA directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking the CA directory %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}
