//go:build unix

package ca

import (
	"errors"
	"testing"
	"time"
)

// TestLock: a lock that another holds is waited for, but not for ever.
func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockWithin(dir, 50*time.Millisecond); !errors.Is(err, errLocked) {
		t.Error(err)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		unlock()
	}()
	again, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := lock("/nowhere/at/all"); err == nil {
		t.Error("a directory that is not there is locked")
	}
}
