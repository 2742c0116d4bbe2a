package source

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
)

// cpioEntry is the header of one member of an archive in the "new ASCII" format
// (newc, magic 070701) or the same with checksums (crc, 070702): 13 fields of
// eight hexadecimal digits, name, data, each padded to four bytes (Linux
// Documentation/driver-api/early-userspace/buffer-format.rst).
type cpioEntry struct {
	name  string // absolute and clean
	mode  uint32
	links uint32
	size  int64
	inode string // device and inode, as written
}

const (
	cpioHeader  = 110
	cpioMaxName = 1 << 16
	modeType    = 0o170000
	modeRegular = 0o100000
)

// errCPIO is wrapped by every complaint about an archive's form.
var errCPIO = errors.New("no cpio archive in newc or crc format")

// cpioReader reads the members of one archive, one after the other. It consumes
// nothing behind the archive's end.
type cpioReader struct {
	r      io.Reader
	offset int64 // consumed
	left   int64 // data of the current member not yet read
	pad    int64 // bytes behind that data
}

func newCPIOReader(r io.Reader) *cpioReader { return &cpioReader{r: r} }

// next goes to the next member; io.EOF at the end of the archive. Other errors
// wrap errCPIO.
func (c *cpioReader) next() (*cpioEntry, error) {
	if err := c.skip(c.left + c.pad); err != nil {
		return nil, err
	}
	c.left, c.pad = 0, 0
	head := make([]byte, cpioHeader)
	if err := c.full(head); err != nil {
		return nil, err
	}
	if m := string(head[:6]); m != "070701" && m != "070702" {
		return nil, fmt.Errorf("%w: magic %.12q at offset %d", errCPIO, m, c.offset-cpioHeader)
	}
	field := func(i int) uint32 {
		n, err := strconv.ParseUint(string(head[6+8*i:14+8*i]), 16, 32)
		if err != nil {
			return 0
		}
		return uint32(n)
	}
	for _, d := range head[6:] {
		if !('0' <= d && d <= '9' || 'a' <= d && d <= 'f' || 'A' <= d && d <= 'F') {
			return nil, fmt.Errorf("%w: header at offset %d is not hexadecimal", errCPIO, c.offset-cpioHeader)
		}
	}
	nameSize := int64(field(11))
	if nameSize < 1 || nameSize > cpioMaxName {
		return nil, fmt.Errorf("%w: a name of %d bytes at offset %d", errCPIO, nameSize, c.offset)
	}
	name := make([]byte, nameSize)
	if err := c.full(name); err != nil {
		return nil, err
	}
	if err := c.skip(padding(cpioHeader + nameSize)); err != nil {
		return nil, err
	}
	name = name[:nameSize-1] // its NUL
	e := &cpioEntry{name: path.Clean("/" + string(name)), mode: field(1), links: field(4), size: int64(field(6)), inode: string(head[6:14]) + string(head[62:78])}
	c.left, c.pad = e.size, padding(e.size)
	if string(name) == "TRAILER!!!" {
		if err := c.skip(c.left + c.pad); err != nil {
			return nil, err
		}
		c.left, c.pad = 0, 0
		return nil, io.EOF
	}
	return e, nil
}

// Read reads data of the current member.
func (c *cpioReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.offset += int64(n)
	if err == io.EOF && c.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *cpioReader) full(p []byte) error {
	n, err := io.ReadFull(c.r, p)
	c.offset += int64(n)
	if err != nil {
		return fmt.Errorf("%w: cut at offset %d: %w", errCPIO, c.offset, io.ErrUnexpectedEOF)
	}
	return nil
}

func (c *cpioReader) skip(n int64) error {
	got, err := io.CopyN(io.Discard, c.r, n)
	c.offset += got
	if err != nil {
		return fmt.Errorf("%w: cut at offset %d: %w", errCPIO, c.offset, io.ErrUnexpectedEOF)
	}
	return nil
}

// padding is what fills n up to a multiple of four.
func padding(n int64) int64 { return (4 - n%4) % 4 }
