package ek

import (
	"errors"
	"os"
	"path/filepath"
)

// publicMode is the mode of what this package writes: nothing of it is secret,
// but only its owner may change what is trusted.
const publicMode = 0o644

// replace writes a file under a temporary name and renames it, so that readers
// see the old file or the new one. A symbolic link is followed and stays one.
func replace(path string, content []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(publicMode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error that counts is there already
	}
	return err
}
