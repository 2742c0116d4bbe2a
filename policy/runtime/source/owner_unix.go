//go:build unix

package source

import (
	"errors"
	"os"
	"syscall"
)

// openOwned opens a regular file for reading, without following a symbolic
// link and without waiting for a pipe. It returns nil and no error for what is
// not to be hashed: a file of another user than root unless anyOwner, or
// something that is no regular file any more.
func openOwned(path string, anyOwner bool) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		info, errStat := os.Lstat(path)
		if errors.Is(errStat, os.ErrNotExist) || errStat == nil && !wanted(info, anyOwner) {
			return nil, 0, nil
		}
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil || !wanted(info, anyOwner) {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// openLinked opens the regular file that a symbolic link leads to. The owner
// that counts is that of the link; nil and no error for what is not to be
// hashed, as of [openOwned].
func openLinked(path string, anyOwner bool) (*os.File, int64, error) {
	link, err := os.Lstat(path)
	if err != nil || !owned(link, anyOwner) {
		return nil, 0, nil
	}
	target, err := os.Stat(path)
	if err != nil || !target.Mode().IsRegular() {
		return nil, 0, nil // it leads nowhere, or to no file
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func owned(info os.FileInfo, anyOwner bool) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return anyOwner || ok && st.Uid == 0
}

func wanted(info os.FileInfo, anyOwner bool) bool {
	return info.Mode().IsRegular() && owned(info, anyOwner)
}
