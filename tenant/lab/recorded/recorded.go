// Package recorded holds boots that were recorded on a virtual machine with a
// TPM: the boot log and the IMA list from which the lab's agents boot.
package recorded

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed sb-on sb-off
var files embed.FS

// The boots inside this program.
const (
	// SecureBoot is an ordinary boot with Secure Boot on.
	SecureBoot = "sb-on"
	// NoSecureBoot is a boot of the same machine with Secure Boot off.
	NoSecureBoot = "sb-off"
)

// The files of a boot, as testdata/evidence names them.
const (
	BootLogName = "binary_bios_measurements"
	imaName     = "ima_ascii.txt"
	// IMAName is what the kernel calls the IMA list.
	IMAName = "ascii_runtime_measurements"
)

// limit bounds the size of a file of evidence in bytes.
const limit = 64 << 20

// Boot is what a machine shows of one boot.
type Boot struct {
	// Log is the boot log (binary_bios_measurements); nil if the machine has
	// none.
	Log []byte
	// IMA is the measurement list in its ASCII form; nil if there is none.
	IMA []byte
}

// Named returns a boot inside this program. An unknown name is an error.
func Named(name string) (Boot, error) {
	log, err := files.ReadFile(name + "/" + BootLogName)
	if err != nil {
		return Boot{}, fmt.Errorf("no recorded boot is called %q: %w", name, err)
	}
	list, err := files.ReadFile(name + "/" + imaName)
	if err != nil {
		return Boot{}, fmt.Errorf("recorded boot %q: %w", name, err)
	}
	return Boot{Log: log, IMA: list}, nil
}

// Load reads a boot from a directory: binary_bios_measurements, and
// ima_ascii.txt or ascii_runtime_measurements. One of the two may be absent;
// a directory with neither is an error.
func Load(dir string) (Boot, error) {
	log, err := read(filepath.Join(dir, BootLogName))
	if err != nil {
		return Boot{}, err
	}
	list, err := read(filepath.Join(dir, imaName))
	if err != nil {
		return Boot{}, err
	}
	if list == nil {
		if list, err = read(filepath.Join(dir, IMAName)); err != nil {
			return Boot{}, err
		}
	}
	if log == nil && list == nil {
		return Boot{}, fmt.Errorf("directory %s holds no evidence: neither %s nor %s nor %s", dir, BootLogName, imaName, IMAName)
	}
	return Boot{Log: log, IMA: list}, nil
}

// read reads a file; nil if it does not exist.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("evidence: %w", err)
	case info.Size() > limit:
		return nil, fmt.Errorf("evidence: %s has %d bytes, more than %d", path, info.Size(), limit)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return data, nil
}
