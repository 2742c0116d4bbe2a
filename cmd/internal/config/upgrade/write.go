package upgrade

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Target is a file to be written.
type Target struct {
	Path    string
	Content []byte
	// Private makes a new file readable for its owner alone. A file that exists
	// keeps its mode and its owner.
	Private bool
}

// Backup is the path of the copy of a file that is replaced.
func Backup(path string) string { return path + ".bkp" }

// WriteError is a file that cannot be written. If it is no backup, all files
// before it in the list are written already.
type WriteError struct {
	Path string
	Err  error
}

func (e *WriteError) Error() string {
	err := e.Err
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return fmt.Sprintf("writing %s: %v", e.Path, err)
}

func (e *WriteError) Unwrap() error { return e.Err }

// staged is a file whose new content is on the disk, under another name.
type staged struct {
	path, backup, temporary string
	// inPlace: the owner of the file cannot be kept by replacing it, so it is
	// written to.
	inPlace bool
	content []byte
}

// Write replaces files. Everything that can fail comes first: all contents are
// written under other names and all backups are made before the first file gets
// its name, so that a failure leaves all files as they were. Errors:
// [*WriteError].
func Write(targets []Target) (err error) {
	var files []staged
	defer func() {
		for _, s := range files {
			_ = os.Remove(s.temporary) // gone where it has its name
		}
	}()
	for _, t := range targets {
		s, err := stage(t)
		if err != nil {
			return &WriteError{t.Path, err}
		}
		files = append(files, s)
	}
	for _, s := range files {
		if err := backUp(s.path, s.backup); err != nil {
			return &WriteError{s.backup, err}
		}
	}
	for _, s := range files {
		if err := s.finish(); err != nil {
			return &WriteError{s.path, err}
		}
	}
	return nil
}

// stage writes the content beside the file, with the mode and the owner that it
// is to have.
func stage(t Target) (staged, error) {
	s := staged{path: t.Path, backup: Backup(t.Path), content: t.Content}
	if target, err := filepath.EvalSymlinks(t.Path); err == nil {
		s.path = target // a link stays one
	}
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return s, err
	case !info.Mode().IsRegular():
		return s, errors.New("this is not a regular file")
	}
	exists := err == nil
	mode := fs.FileMode(0o640)
	if t.Private {
		mode = 0o600
	}
	if exists {
		mode = info.Mode().Perm()
	} else if info, err = os.Stat(filepath.Dir(s.path)); err != nil {
		return s, err
	}
	s.temporary, err = temporary(s.path, t.Content, mode)
	if err != nil {
		return s, err
	}
	// A service that may read its file must be able to after the upgrade: the
	// owner stays, and a new file has that of its directory, where root writes.
	if exists || os.Geteuid() == 0 {
		if err := keepOwner(s.temporary, info); err != nil {
			s.inPlace = exists
		}
	}
	if err := os.Chmod(s.temporary, mode); err != nil { // a new owner takes bits away
		_ = os.Remove(s.temporary)
		return s, err
	}
	return s, nil
}

// temporary writes a file beside another one.
func temporary(path string, content []byte, mode fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// backUp copies a file that is there, with its mode and its owner.
func backUp(path, backup string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name, err := temporary(backup, content, info.Mode().Perm())
	if err != nil {
		return err
	}
	_ = keepOwner(name, info) // where that is not allowed, the copy is the caller's
	if err = errors.Join(os.Chmod(name, info.Mode().Perm()), os.Rename(name, backup)); err != nil {
		_ = os.Remove(name)
	}
	return err
}

// finish gives the content its name.
func (s staged) finish() error {
	if !s.inPlace {
		return os.Rename(s.temporary, s.path)
	}
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(s.content)
	return errors.Join(err, f.Sync(), f.Close())
}
