package tpmdev

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// device is a character device of Linux. Its calls block until the TPM has
// answered, for which the kernel has limits of its own: the end of a context
// counts between commands.
type device struct{ file *os.File }

func openDevice(path string) (link, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&os.ModeCharDevice == 0 {
		return nil, errors.New("this is no device; the socket of an emulator is swtpm:path=" + path)
	}
	// Not os.OpenFile, which makes the device non-blocking: a read would then
	// find no answer yet and take that for the end.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &device{os.NewFile(uintptr(fd), path)}, nil
}

func (d *device) Close() error { return d.file.Close() }

func (d *device) exchange(_ context.Context, command []byte) ([]byte, error) {
	if _, err := d.file.Write(command); err != nil {
		return nil, err
	}
	response := make([]byte, maxResponse)
	n, err := d.file.Read(response)
	if err != nil {
		return nil, err
	}
	return response[:n], nil
}
