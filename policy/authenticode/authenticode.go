// Package authenticode computes the digest of a PE/COFF image as UEFI firmware,
// shim and GRUB measure it and as signatures sign it: over everything but the
// checksum, the directory entry of the certificate table, and that table
// itself.
//
// Source: Microsoft, "Windows Authenticode Portable Executable Signature
// Format" 1.0 (2008), "Calculating the PE Image Hash"; PE/COFF specification
// 11.0. An image without a signature is hashed as it is: a signer would pad it
// to a multiple of 8 octets first and so change the digest.
//
// Signatures are neither read nor verified.
package authenticode

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"slices"
)

const (
	// maxSections is the number of sections that loaders take.
	maxSections = 96
	// certificateTable is the index of the certificate table among the data
	// directories.
	certificateTable = 4
	sectionHeader    = 40
	magicPE32        = 0x10b
	magicPE32Plus    = 0x20b
)

// Error says why a file is no PE/COFF image that can be measured.
type Error struct {
	// Offset is where in the file the fault was seen.
	Offset int64
	// Cause is the fault in words.
	Cause string
	// Err is the error of the reader, if that is the cause.
	Err error
}

// Error names offset and cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("reading a PE/COFF image at offset %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("not a PE/COFF image: offset %d: %s", e.Offset, e.Cause)
}

// Unwrap returns the reader's error.
func (e *Error) Unwrap() error { return e.Err }

// Digest hashes an image of size octets with h and returns the digest. It reads
// no more than four times size and holds no more than its headers in memory.
// Every error is an [*Error].
func Digest(image io.ReaderAt, size int64, h hash.Hash) ([]byte, error) {
	i := &reader{image: image, size: size}
	layout, err := i.layout()
	if err != nil {
		return nil, err
	}
	h.Reset()
	for _, r := range layout {
		n, err := io.Copy(h, io.NewSectionReader(image, r.start, r.end-r.start))
		if err == nil && n != r.end-r.start {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, &Error{Offset: r.start + n, Err: err}
		}
	}
	return h.Sum(nil), nil
}

// span is a part of the file that is hashed.
type span struct{ start, end int64 }

type reader struct {
	image io.ReaderAt
	size  int64
}

func (i *reader) bytes(at, n int64, what string) ([]byte, error) {
	if at < 0 || n > i.size-at {
		return nil, &Error{Offset: at, Cause: fmt.Sprintf("%s of %d octets reaches past the end, the file has %d", what, n, i.size)}
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(i.image, at, n), b); err != nil {
		return nil, &Error{Offset: at, Err: err}
	}
	return b, nil
}

// layout returns the parts to hash, in their order.
func (i *reader) layout() ([]span, error) {
	le := binary.LittleEndian
	dos, err := i.bytes(0, 64, "the DOS header")
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(dos, []byte("MZ")) {
		return nil, &Error{Cause: "it does not begin with MZ"}
	}
	pe := int64(le.Uint32(dos[0x3c:]))
	coff, err := i.bytes(pe, 24, "the PE header")
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(coff, []byte("PE\x00\x00")) {
		return nil, &Error{Offset: pe, Cause: "no PE signature"}
	}
	sections, optionalSize := int64(le.Uint16(coff[6:])), int64(le.Uint16(coff[20:]))
	if sections > maxSections {
		return nil, &Error{Offset: pe + 6, Cause: fmt.Sprintf("%d sections", sections)}
	}
	at := pe + 24
	optional, err := i.bytes(at, optionalSize, "the optional header")
	if err != nil {
		return nil, err
	}
	if len(optional) < 2 {
		return nil, &Error{Offset: at, Cause: "no optional header: it is an object file"}
	}
	directories := int64(96)
	switch magic := le.Uint16(optional); magic {
	case magicPE32:
	case magicPE32Plus:
		directories = 112
	default:
		return nil, &Error{Offset: at, Cause: fmt.Sprintf("the optional header is of kind 0x%x", magic)}
	}
	if int64(len(optional)) < directories {
		return nil, &Error{Offset: at, Cause: fmt.Sprintf("an optional header of %d octets is too short", len(optional))}
	}
	headers := int64(le.Uint32(optional[60:]))
	spans := []span{{0, at + 64}}
	next, certificates := at+68, int64(0)
	if le.Uint32(optional[directories-4:]) > certificateTable && int64(len(optional)) >= directories+8*(certificateTable+1) {
		entry := directories + 8*certificateTable
		certificates = int64(le.Uint32(optional[entry+4:]))
		spans = append(spans, span{next, at + entry})
		next = at + entry + 8
	}
	if headers < next || headers > i.size {
		return nil, &Error{Offset: at + 60, Cause: fmt.Sprintf("headers of %d octets", headers)}
	}
	spans = append(spans, span{next, headers})
	table, err := i.bytes(at+optionalSize, sections*sectionHeader, "the section table")
	if err != nil {
		return nil, err
	}
	return i.body(spans, table, headers, certificates)
}

// body adds the sections in the order of the file, and what follows them but
// the certificates.
func (i *reader) body(spans []span, table []byte, headers, certificates int64) ([]span, error) {
	le := binary.LittleEndian
	var sections []span
	for ; len(table) > 0; table = table[sectionHeader:] {
		size, start := int64(le.Uint32(table[16:])), int64(le.Uint32(table[20:]))
		if size == 0 {
			continue
		}
		if start+size > i.size {
			return nil, &Error{Offset: start, Cause: fmt.Sprintf("section %q of %d octets reaches past the end, the file has %d", bytes.TrimRight(table[:8], "\x00"), size, i.size)}
		}
		sections = append(sections, span{start, start + size})
	}
	slices.SortStableFunc(sections, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	hashed := headers
	for _, s := range sections {
		hashed += s.end - s.start
	}
	// Overlapping sections are hashed twice, as firmware does, within bounds.
	if hashed > 3*i.size {
		return nil, &Error{Offset: headers, Cause: "sections that overlap"}
	}
	spans = append(spans, sections...)
	if hashed >= i.size {
		return spans, nil
	}
	if hashed+certificates > i.size {
		return nil, &Error{Offset: hashed, Cause: fmt.Sprintf("certificates of %d octets reach past the end", certificates)}
	}
	return append(spans, span{hashed, i.size - certificates}), nil
}
