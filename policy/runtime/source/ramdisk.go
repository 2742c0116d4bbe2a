package source

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// entry is one file with its digest in hex.
type entry struct{ path, digest string }

// listed is a path as the kernel's list shows it: underscores for blanks.
func listed(path string) string { return strings.ReplaceAll(path, " ", "_") }

// ramdisks hashes the files in all initial RAM disks of a directory, files whose
// names begin with "initr"; that there is none is said.
func (m *maker) ramdisks(ctx context.Context, dir string) ([]entry, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, &InputError{Source: "ramdisk-dir", Path: dir, Err: err}
	}
	var all []entry
	found := false
	for _, d := range names {
		name := filepath.Join(dir, d.Name())
		if info, err := os.Stat(name); !strings.HasPrefix(d.Name(), "initr") || err != nil || !info.Mode().IsRegular() {
			continue
		}
		found = true
		files, err := m.ramdisk(ctx, name)
		if err != nil {
			return nil, &InputError{Source: RAMDisk, Path: name, Err: err}
		}
		for _, path := range slices.Sorted(maps.Keys(files)) {
			all = append(all, entry{listed(path), files[path]})
		}
	}
	if !found {
		m.warn(fmt.Sprintf("directory %s holds no initial RAM disk: no file of it is named %s", dir, filepath.Join(dir, "initr*")))
	}
	return all, nil
}

func (m *maker) ramdisk(ctx context.Context, name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := &disk{m: m, ctx: ctx, name: name, hash: newHash(m.algorithm), buffer: make([]byte, 128<<10)}
	return d.read(bufio.NewReaderSize(f, 256<<10))
}

// disk reads one RAM disk.
type disk struct {
	m      *maker
	ctx    context.Context
	name   string
	hash   hash.Hash
	buffer []byte
}

// read goes through the parts of a RAM disk as the kernel does: archives, each
// plain or in a compressed part, with zeros between them; a later file takes
// the place of an earlier one. Early archives, which hold microcode and ACPI
// tables for the kernel itself and are not files to run, are left out if
// something follows them.
//
// Behind a part in LZMA or bzip2 nothing more is read, because these formats do
// not say reliably where they end; that there is something is said.
func (d *disk) read(r *bufio.Reader) (map[string]string, error) {
	files := map[string]string{}
	early := map[string]string{}
	for part := 0; ; part++ {
		if err := skipZeros(r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		content, format, release, err := decompress(r)
		if err != nil && part > 0 {
			d.m.warn(fmt.Sprintf("RAM disk %s: what follows part %d is left out: %v", d.name, part, err))
			break
		}
		if err != nil {
			return nil, err
		}
		if format == "cpio" {
			one, err := d.archive(newCPIOReader(content))
			if err != nil {
				return nil, err
			}
			if allEarly(one) {
				maps.Copy(early, one)
			} else {
				maps.Copy(files, one)
			}
			continue
		}
		whole, err := d.compressed(bufio.NewReaderSize(content, 64<<10), files)
		release()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", format, err)
		}
		if !whole {
			break
		}
		if format == "lzma" || format == "bzip2" {
			if err := skipZeros(r); err == nil {
				d.m.warn(fmt.Sprintf("RAM disk %s: what follows the part in %s is left out: nobody can tell where that one ends", d.name, format))
			}
			break
		}
	}
	if len(files) == 0 {
		maps.Copy(files, early)
	}
	return files, nil
}

// compressed reads all archives of a compressed part; whole says that it was
// read to its end, so that another part may follow.
func (d *disk) compressed(r *bufio.Reader, files map[string]string) (whole bool, err error) {
	for n := 0; ; n++ {
		err := skipZeros(r)
		if errors.Is(err, io.EOF) && n > 0 {
			return true, nil
		}
		if err != nil && n > 0 { // the archive is whole; what follows is none of ours
			d.m.warn(fmt.Sprintf("RAM disk %s: what follows the archive is left out: %v", d.name, err))
			return false, nil
		}
		if err != nil {
			return false, noEOF(err)
		}
		one, err := d.archive(newCPIOReader(r))
		if err != nil {
			return false, err
		}
		maps.Copy(files, one)
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// skipZeros reads up to the next byte that is not zero; io.EOF if there is none.
func skipZeros(r *bufio.Reader) error {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return r.UnreadByte()
		}
	}
}

// allEarly tells whether files are those of an early archive: below /kernel, and
// dracut's mark.
func allEarly(files map[string]string) bool {
	for path := range files {
		if path != "/early_cpio" && !strings.HasPrefix(path, "/kernel/") {
			return false
		}
	}
	return true
}

// archive hashes the regular files of one archive up to its end.
func (d *disk) archive(c *cpioReader) (map[string]string, error) {
	files := map[string]string{}
	links := map[string][]string{} // inode -> names without data so far
	data := map[string]string{}    // inode -> digest
	for {
		e, err := c.next()
		if errors.Is(err, io.EOF) {
			for _, names := range links {
				for _, name := range names {
					files[name] = d.sum()
				}
			}
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if err := d.ctx.Err(); err != nil {
			return nil, err
		}
		if e.mode&modeType != modeRegular {
			delete(files, e.name)
			continue
		}
		// Only one name of a file with several has its data.
		if e.links > 1 && e.size == 0 {
			if digest, ok := data[e.inode]; ok {
				files[e.name] = digest
			} else {
				links[e.inode] = append(links[e.inode], e.name)
			}
			continue
		}
		d.hash.Reset()
		if _, err := io.CopyBuffer(struct{ io.Writer }{d.hash}, c, d.buffer); err != nil {
			return nil, err
		}
		digest := hex.EncodeToString(d.hash.Sum(nil))
		d.hash.Reset()
		files[e.name] = digest
		if e.links > 1 {
			for _, name := range links[e.inode] {
				files[name] = digest
			}
			delete(links, e.inode)
			data[e.inode] = digest
		}
		d.m.move("ramdisk", 1, 1, e.size, true)
	}
}

// sum is the digest of an empty file.
func (d *disk) sum() string {
	d.hash.Reset()
	return hex.EncodeToString(d.hash.Sum(nil))
}
