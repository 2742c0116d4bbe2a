//go:build unix

package ek

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockWait is how long another process is waited for: it writes one file.
const lockWait = 10 * time.Second

// errLocked is another process that does not come to an end.
var errLocked = errors.New("another process has been changing it for seconds: try again when that has ended")

// lock keeps other processes from editing a file of the same directory until
// unlock is called. The lock is on the directory, so that no file of it is left.
func lock(path string) (unlock func(), err error) { return lockWithin(path, lockWait) }

func lockWithin(path string, limit time.Duration) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	// Not a call that blocks, which no interrupt would end.
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = dir.Close() }, nil // closing releases the lock
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
		case time.Now().Before(end):
			continue
		default:
			err = errLocked
		}
		_ = dir.Close() // only read
		return nil, err
	}
}
