package source

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// framed passes on the bytes of one compressed part and nothing behind it. The
// decoders read ahead and take all input for theirs, so the end of the part has
// to be found from outside: zstd and lz4 say how long each of their blocks is.
type framed struct {
	r    *bufio.Reader
	left int64 // of the piece that next has found
	// next looks at what comes and returns the length of the next piece; io.EOF
	// where the part ends. It consumes nothing.
	next func(r *bufio.Reader) (int64, error)
}

// Read reads bytes of the part.
func (f *framed) Read(p []byte) (int, error) {
	for f.left == 0 {
		var err error
		if f.left, err = f.next(f.r); err != nil {
			return 0, err
		}
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// peek returns the next n bytes; io.ErrUnexpectedEOF if there are fewer.
func peek(r *bufio.Reader, n int) ([]byte, error) {
	b, err := r.Peek(n)
	return b, noEOF(err)
}

const (
	zstdMagic      = 0xfd2fb528
	skippableMagic = 0x184d2a50 // and the 15 numbers behind it
)

// zstdFrames finds the pieces of zstd frames that follow one another directly
// (RFC 8878, section 3.1): what one archive is compressed to by several
// threads, or several.
type zstdFrames struct{ inside, last, checksum bool }

func (z *zstdFrames) next(r *bufio.Reader) (int64, error) {
	switch {
	case !z.inside:
		head, err := r.Peek(4)
		if err != nil {
			return 0, io.EOF // too little for a frame: no part of this one
		}
		switch magic := binary.LittleEndian.Uint32(head); {
		case magic == zstdMagic:
			return z.header(r)
		case magic&^0xf == skippableMagic:
			head, err := peek(r, 8)
			if err != nil {
				return 0, err
			}
			return 8 + int64(binary.LittleEndian.Uint32(head[4:])), nil
		}
		return 0, io.EOF
	case z.last:
		z.inside, z.last = false, false
		if z.checksum {
			return 4, nil
		}
		return z.next(r)
	}
	head, err := peek(r, 3)
	if err != nil {
		return 0, err
	}
	block := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16
	z.last = block&1 != 0
	if block>>1&3 == 1 { // one byte that is repeated
		return 4, nil
	}
	return 3 + int64(block>>3), nil
}

// header is the length of magic and frame header (section 3.1.1.1).
func (z *zstdFrames) header(r *bufio.Reader) (int64, error) {
	head, err := peek(r, 5)
	if err != nil {
		return 0, err
	}
	descriptor := head[4]
	z.inside, z.checksum = true, descriptor&4 != 0
	n := int64(5) + []int64{0, 1, 2, 4}[descriptor&3] + []int64{0, 2, 4, 8}[descriptor>>6]
	single := descriptor&0x20 != 0
	if !single || descriptor>>6 == 0 {
		n++ // the window, or a content size of one byte
	}
	return n, nil
}

const (
	lz4LegacyMagic = 0x184c2102
	lz4FrameMagic  = 0x184d2204
	// lz4LegacyBlock is the most that a block of the legacy format, 8 MiB, can
	// be compressed to.
	lz4LegacyBlock = 8<<20 + 8<<20/255 + 16
)

// lz4Frame finds the pieces of one lz4 frame, or of one stream in the legacy
// format, which is what the kernel takes (lz4 documentation, lz4_Frame_format,
// section Legacy frame). A legacy stream has no end of its own: it ends, as for
// the kernel, where no length of a block follows.
type lz4Frame struct {
	inside, legacy, ended        bool
	blockChecksum, frameChecksum bool
}

func (l *lz4Frame) next(r *bufio.Reader) (int64, error) {
	if l.ended {
		return 0, io.EOF
	}
	head, err := r.Peek(4)
	if err != nil {
		if l.legacy {
			return 0, io.EOF
		}
		return 0, noEOF(err)
	}
	word := binary.LittleEndian.Uint32(head)
	switch {
	case !l.inside && word == lz4LegacyMagic:
		l.inside, l.legacy = true, true
		return 4, nil
	case !l.inside:
		return l.header(r)
	case l.legacy && (word == 0 || word > lz4LegacyBlock):
		return 0, io.EOF
	case l.legacy:
		return 4 + int64(word), nil
	case word == 0:
		l.ended = true
		if l.frameChecksum {
			return 8, nil
		}
		return 4, nil
	}
	n := 4 + int64(word&0x7fffffff) // the first bit says: not compressed
	if l.blockChecksum {
		n += 4
	}
	return n, nil
}

// header is the length of magic and frame descriptor.
func (l *lz4Frame) header(r *bufio.Reader) (int64, error) {
	head, err := peek(r, 5)
	if err != nil {
		return 0, err
	}
	flags := head[4]
	l.inside, l.blockChecksum, l.frameChecksum = true, flags&0x10 != 0, flags&4 != 0
	n := int64(7)
	if flags&8 != 0 {
		n += 8 // content size
	}
	if flags&1 != 0 {
		n += 4 // dictionary
	}
	return n, nil
}

// xzStream gives the decoder of one xz stream what it asks for, and tells it
// that there is no more when it has read the footer (xz file format, section
// 2.1.2) and wants to see whether something follows.
type xzStream struct {
	r     *bufio.Reader
	ended bool
}

const xzFooter = 12

// Read reads bytes of the stream.
func (x *xzStream) Read(p []byte) (int, error) {
	if len(p) == 1 && x.ended {
		return 0, io.EOF
	}
	if len(p) != xzFooter {
		return x.r.Read(p)
	}
	n, err := io.ReadFull(x.r, p)
	x.ended = err == nil && bytes.HasSuffix(p, []byte("YZ")) && binary.LittleEndian.Uint32(p) == crc32.ChecksumIEEE(p[4:10])
	return n, err
}
