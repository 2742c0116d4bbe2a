package source

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The parts of an RPM package that are read (RPM V3/V4 package format, "Package
// Structure" of the RPM documentation): a lead of 96 bytes, the signature
// header, padded to 8 bytes, and the main header. The payload is not read.
const (
	rpmLead       = 96
	rpmHeaderHead = 16 // magic, version, reserved, number of entries, size of data
	rpmIndexEntry = 16
	rpmMaxEntries = 1 << 16
	rpmMaxData    = 256 << 20
)

var (
	rpmLeadMagic   = []byte{0xed, 0xab, 0xee, 0xdb}
	rpmHeaderMagic = []byte{0x8e, 0xad, 0xe8, 0x01}
)

// Tags of the main header, and of the signature header where it says so.
const (
	tagSigFileSignatures = 274 // signature header: array of hexadecimal strings
	tagName              = 1000
	tagFileDigests       = 1035
	tagOldFileNames      = 1027
	tagDirIndexes        = 1116
	tagBaseNames         = 1117
	tagDirNames          = 1118
	tagFileSignatures    = 5090
)

// Types of header data.
const (
	typeInt32       = 4
	typeString      = 6
	typeStringArray = 8
)

// errRPM is wrapped by every complaint about a package's form.
var errRPM = errors.New("no RPM package")

// Package is what a package's headers say of its files.
type Package struct {
	// Name is the package's name, "" if it has none.
	Name string
	// Files are the files with digests, in the package's order.
	Files []PackageFile
}

// PackageFile is one file of a package.
type PackageFile struct {
	// Path is absolute, as the package has it.
	Path string
	// Digest is in hex; its length tells the algorithm.
	Digest string
	// Signature is the IMA signature with its header, nil if the file has none.
	Signature []byte
}

// ReadPackage reads the headers of a package and nothing behind them. Neither
// signatures nor digests of the package are checked. Files without digest
// (directories, links, ghosts) are left out. Errors wrap errRPM or are the
// reader's.
func ReadPackage(r io.Reader) (*Package, error) {
	lead := make([]byte, rpmLead)
	if err := readFull(r, lead); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(lead, rpmLeadMagic) {
		return nil, fmt.Errorf("%w: it begins with %x", errRPM, lead[:4])
	}
	signature, err := readHeader(r)
	if err != nil {
		return nil, fmt.Errorf("signature header: %w", err)
	}
	if n := len(signature.data) % 8; n != 0 {
		if err := readFull(r, make([]byte, 8-n)); err != nil {
			return nil, err
		}
	}
	main, err := readHeader(r)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return packageOf(signature, main)
}

// readFull is io.ReadFull for which any end of the input is too early.
func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// header is one header: an index of entries into data.
type header struct {
	index []byte
	data  []byte
}

func readHeader(r io.Reader) (*header, error) {
	head := make([]byte, rpmHeaderHead)
	if err := readFull(r, head); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(head, rpmHeaderMagic) {
		return nil, fmt.Errorf("%w: magic of a header is %x", errRPM, head[:4])
	}
	entries, size := binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[12:])
	if entries == 0 || entries > rpmMaxEntries || size > rpmMaxData {
		return nil, fmt.Errorf("%w: header of %d entries and %d bytes", errRPM, entries, size)
	}
	h := &header{index: make([]byte, entries*rpmIndexEntry)}
	if err := readFull(r, h.index); err != nil {
		return nil, err
	}
	// Memory grows with what is there, not with what the header promises.
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(size)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	h.data = b.Bytes()
	return h, nil
}

// find returns type, data from the entry's offset on, and count of a tag.
func (h *header) find(tag uint32) (kind uint32, data []byte, count int) {
	for e := h.index; len(e) > 0; e = e[rpmIndexEntry:] {
		if binary.BigEndian.Uint32(e) != tag {
			continue
		}
		offset, n := binary.BigEndian.Uint32(e[8:]), binary.BigEndian.Uint32(e[12:])
		if uint64(offset) > uint64(len(h.data)) || uint64(n) > uint64(len(h.data)) {
			return 0, nil, 0
		}
		return binary.BigEndian.Uint32(e[4:]), h.data[offset:], int(n)
	}
	return 0, nil, 0
}

// strings returns a tag of type string or string array, nil if there is none
// such.
func (h *header) strings(tag uint32) []string {
	kind, data, count := h.find(tag)
	if kind == typeString {
		count = 1
	} else if kind != typeStringArray {
		return nil
	}
	out := make([]string, 0, count)
	for range count {
		i := bytes.IndexByte(data, 0)
		if i < 0 {
			return nil
		}
		out = append(out, string(data[:i]))
		data = data[i+1:]
	}
	return out
}

// int32s returns a tag of type int32, nil if there is none such.
func (h *header) int32s(tag uint32) []uint32 {
	kind, data, count := h.find(tag)
	if kind != typeInt32 || len(data)/4 < count {
		return nil
	}
	out := make([]uint32, count)
	for i := range out {
		out[i] = binary.BigEndian.Uint32(data[4*i:])
	}
	return out
}

// paths returns the names of all files.
func (h *header) paths() ([]string, error) {
	bases, dirs, indexes := h.strings(tagBaseNames), h.strings(tagDirNames), h.int32s(tagDirIndexes)
	if bases == nil {
		return h.strings(tagOldFileNames), nil
	}
	if len(indexes) != len(bases) {
		return nil, fmt.Errorf("%w: %d names and %d directories of names", errRPM, len(bases), len(indexes))
	}
	for i, base := range bases {
		if int(indexes[i]) >= len(dirs) {
			return nil, fmt.Errorf("%w: directory %d of %d", errRPM, indexes[i], len(dirs))
		}
		bases[i] = dirs[indexes[i]] + base
	}
	return bases, nil
}

// packageOf puts together what the headers say.
func packageOf(signature, main *header) (*Package, error) {
	p := &Package{}
	if names := main.strings(tagName); len(names) == 1 {
		p.Name = names[0]
	}
	paths, err := main.paths()
	if err != nil {
		return nil, err
	}
	digests := main.strings(tagFileDigests)
	if len(digests) != len(paths) && len(digests) > 0 {
		return nil, fmt.Errorf("%w: %d files and %d digests", errRPM, len(paths), len(digests))
	}
	signatures := main.strings(tagFileSignatures)
	if signatures == nil {
		signatures = signature.strings(tagSigFileSignatures)
	}
	for i, digest := range digests {
		if strings.Trim(digest, "0") == "" {
			continue
		}
		f := PackageFile{Path: paths[i], Digest: strings.ToLower(digest)}
		if i < len(signatures) && signatures[i] != "" {
			if f.Signature, err = hex.DecodeString(signatures[i]); err != nil {
				return nil, fmt.Errorf("%w: signature of file %.200q is not hexadecimal", errRPM, f.Path)
			}
		}
		p.Files = append(p.Files, f)
	}
	return p, nil
}
