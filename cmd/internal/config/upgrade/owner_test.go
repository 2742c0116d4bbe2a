//go:build unix

package upgrade

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func owners(t *testing.T, path string) [2]uint32 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("a system of this kind has owners")
	}
	return [2]uint32{stat.Uid, stat.Gid}
}

// TestOwners: a file keeps its owner, and a new one gets that of its directory,
// so that services can read them. Who is not root has one owner to give.
func TestOwners(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, fresh := put(t, filepath.Join(dir, "a.conf"), "old", 0o600), filepath.Join(dir, "b.conf")
	mine := owners(t, path)
	file, folder := mine, mine
	if os.Geteuid() == 0 {
		file, folder = [2]uint32{1234, 2345}, [2]uint32{77, 88}
		for name, owner := range map[string][2]uint32{path: file, dir: folder} {
			if err := os.Chown(name, int(owner[0]), int(owner[1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Write([]Target{{Path: path, Content: []byte("1")}, {Path: fresh, Content: []byte("2"), Private: true}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]uint32{path: file, Backup(path): file, fresh: folder} {
		if got := owners(t, name); got != want {
			t.Errorf("%s belongs to %v, want %v", filepath.Base(name), got, want)
		}
	}
	holds(t, fresh, "2", fs.FileMode(0o600))
}

// TestInPlace: where the owner cannot be kept, the file is written to.
func TestInPlace(t *testing.T) {
	t.Parallel()
	path := put(t, filepath.Join(t.TempDir(), "a.conf"), "a long old text", 0o600)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := (staged{path: path, inPlace: true, content: []byte("new")}).finish(); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "new", 0o600)
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file is another one: %v", err)
	}
}
