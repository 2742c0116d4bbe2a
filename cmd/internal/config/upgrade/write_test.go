package upgrade

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func put(t *testing.T, path, content string, mode fs.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func holds(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("%s: %q, %v, want %q", filepath.Base(path), got, err, content)
		return
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
		t.Errorf("%s: mode %v, want %v", filepath.Base(path), info.Mode(), mode)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kept := put(t, filepath.Join(dir, "kept.conf"), "old", 0o604)
	put(t, filepath.Join(dir, "real.conf"), "old", 0o600)
	link := filepath.Join(dir, "link.conf")
	if err := os.Symlink("real.conf", link); err != nil {
		t.Fatal(err)
	}
	fresh, secret := filepath.Join(dir, "fresh.conf"), filepath.Join(dir, "secret.conf")
	err := Write([]Target{{Path: kept, Content: []byte("1"), Private: true}, {Path: link, Content: []byte("2")}, {Path: fresh, Content: []byte("3")}, {Path: secret, Content: []byte("4"), Private: true}})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, kept, "1", 0o604)
	holds(t, kept+".bkp", "old", 0o604)
	holds(t, filepath.Join(dir, "real.conf"), "2", 0o600)
	holds(t, link+".bkp", "old", 0o600)
	holds(t, fresh, "3", 0o640)
	holds(t, secret, "4", 0o600)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is none any more: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 7 {
		t.Errorf("%d files are there: %v", len(entries), entries)
	}
}

// TestWriteNothing: whatever fails, no file is changed and nothing is left.
func TestWriteNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		prepare func(dir string) (path string)
		cause   string
	}{
		{"a directory stands there", func(dir string) string {
			put(t, filepath.Join(dir, "b.conf/x"), "", 0o600)
			return filepath.Join(dir, "b.conf")
		}, "not a regular file"},
		{"no directory", func(dir string) string { return filepath.Join(dir, "none/b.conf") }, "no such file"},
		{"the backup cannot be made", func(dir string) string {
			put(t, filepath.Join(dir, "b.conf"), "", 0o600)
			put(t, filepath.Join(dir, "b.conf.bkp/x"), "", 0o600)
			return filepath.Join(dir, "b.conf")
		}, "b.conf.bkp"},
	} {
		dir := t.TempDir()
		first := put(t, filepath.Join(dir, "a.conf"), "old", 0o640)
		err := Write([]Target{{Path: first, Content: []byte("new")}, {Path: c.prepare(dir), Content: []byte("new")}})
		var e *WriteError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%s: %v, want %q", c.name, err, c.cause)
		}
		holds(t, first, "old", 0o640)
		if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
			t.Errorf("%s: left behind: %q", c.name, left)
		}
	}
}
