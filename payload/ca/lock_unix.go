//go:build unix

package ca

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockWait is how long another process is waited for: it makes a few keys.
const lockWait = 30 * time.Second

// errLocked is another process that does not come to an end.
var errLocked = errors.New("another process has been changing it for long: try again when that has ended")

// lock keeps other processes from changing the directory until the function it
// returns is called. The lock is the kernel's and goes with the process.
func lock(dir string) (unlock func(), err error) { return lockWithin(dir, lockWait) }

func lockWithin(dir string, limit time.Duration) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the CA directory: %w", err)
	}
	// Not a call that blocks, which no interrupt would end.
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
		case time.Now().Before(end):
			continue
		default:
			err = errLocked
		}
		_ = f.Close()
		return nil, fmt.Errorf("locking the CA directory %s: %w", dir, err)
	}
}
