package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// outputError is a file named on the command line that cannot be written.
type outputError struct {
	Path string
	Err  error
}

func (e *outputError) Error() string {
	err := e.Err
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err // the path is named already
	}
	return fmt.Sprintf("writing %s: %v", e.Path, err)
}

func (e *outputError) Unwrap() error { return e.Err }

// writeFile writes a result that a command was asked to put into a file. ""
// and "-" mean stdout. A regular file is replaced as a whole, so that a run
// that fails leaves the old one; pipes and devices are written to.
func (a *app) writeFile(path string, content []byte, mode os.FileMode) error {
	if path == "" || path == "-" {
		if _, err := a.out().Write(content); err != nil {
			return &outputError{Path: "standard output", Err: err}
		}
		return nil
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeThrough(path, content)
	}
	// A link is followed, so that it stays one.
	if err := mayFollow(path); err != nil {
		return &outputError{Path: path, Err: err}
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".keylime_tenant-*")
	if err != nil {
		return &outputError{Path: path, Err: err}
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return &outputError{Path: path, Err: err}
	}
	return nil
}

func writeThrough(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.Write(content)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return &outputError{Path: path, Err: err}
	}
	return nil
}
