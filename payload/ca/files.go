package ca

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// write replaces a file of the directory as a whole: a reader sees the old or
// the new content, and a failure leaves the old.
func (c *CA) write(name string, content []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(c.dir, ".new-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", c.path(name), err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.dir, name))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing %s: %w", c.path(name), err)
	}
	return nil
}

// writeStore encrypts and writes the key store.
func (c *CA) writeStore() error {
	sealed, err := c.store.seal(c.password, c.options.Rand)
	if err != nil {
		return err
	}
	return c.write(FileKeyStore, sealed, 0o600)
}
