package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestInterruptedWalk: an interrupt while a tree is hashed ends the walk with the
// context's error, whichever of its goroutines sees it first. (The workers, gone
// first, once closed the channel into which the lister was sending: a panic.)
func TestInterruptedWalk(t *testing.T) {
	t.Parallel()
	const files = 200
	root := t.TempDir()
	for i := range files {
		write(t, filepath.Join(root, fmt.Sprint(i), "file"), []byte{byte(i)})
	}
	for i := range 400 {
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		p, err := Create(ctx, Request{Rootfs: root, AnyOwner: true, Workers: 1, Progress: func(Progress) {
			if seen++; seen > i%100 {
				cancel()
			}
		}})
		cancel()
		if err == nil && p.Digests.Len() == files {
			continue // it was done before
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("canceled after %d reports: %v", i%100, err)
		}
	}
}

// TestInterruptedFile: an interrupt does not wait for the end of a large file.
func TestInterruptedFile(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	f, err := os.Create(filepath.Join(root, "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 35); err != nil { // a hole: hashing it takes far longer than the test
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err = Create(ctx, Request{Rootfs: root, AnyOwner: true})
	if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > 20*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}
