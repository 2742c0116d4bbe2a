//go:build !unix

package source

import "os"

// openOwned opens a regular file for reading. This system has no root user, so
// files of every owner are hashed.
func openOwned(path string, _ bool) (*os.File, int64, error) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// openLinked opens the regular file that a symbolic link leads to; nil and no
// error if there is none.
func openLinked(path string, _ bool) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}
