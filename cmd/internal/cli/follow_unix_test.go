//go:build unix

package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestTrustedLink(t *testing.T) {
	t.Parallel()
	const shared, ours, theirs, root = fs.ModeDir | fs.ModeSticky | 0o777, 1000, 1001, 0
	for _, c := range []struct {
		dir                fs.FileMode
		dirOwner, link, us int
		want               bool
	}{
		{shared, root, theirs, ours, false},
		{shared, root, theirs, root, false},
		{shared, root, ours, ours, true},
		{shared, root, root, ours, true}, // of the directory's owner
		{fs.ModeDir | 0o777, root, theirs, ours, true},
		{fs.ModeDir | fs.ModeSticky | 0o755, root, theirs, ours, true},
		{fs.ModeDir | 0o700, ours, theirs, ours, true},
	} {
		if got := trustedLink(c.dir, c.dirOwner, c.link, c.us); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestForeignLink: a secret does not go where somebody else wants it, and does
// not replace a file that somebody else has chosen.
func TestForeignLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shared, victim := filepath.Join(dir, "tmp"), filepath.Join(dir, "victim")
	if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, fs.ModeSticky|0o777), os.WriteFile(victim, []byte("precious"), 0o600)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(shared, "keys.txt")
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	a := newApp(nil, nil, Streams{})
	if err := a.writeFile(link, []byte("ours"), 0o600); err != nil {
		t.Errorf("our own link: %v", err)
	}
	if os.Geteuid() != 0 {
		return // only root can make somebody else's link
	}
	if err := errors.Join(os.Lchown(link, 12345, 12345), os.WriteFile(victim, []byte("precious"), 0o600)); err != nil {
		t.Fatal(err)
	}
	err := a.writeFile(link, []byte("secret"), 0o600)
	if text, readErr := os.ReadFile(victim); !errors.Is(err, errForeignLink) || readErr != nil || string(text) != "precious" {
		t.Errorf("somebody else's link: %v, %q", err, text)
	}
}
