package ima

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxTemplateName bounds the name of a template in a binary list, in bytes;
// names are at most 255 in the kernel.
const maxTemplateName = 255

// binarySHA1 is the size in bytes of the hash in the header of an entry: SHA-1,
// whatever hash the list is configured with.
const binarySHA1 = 20

// The faults of a binary list; all end the scan, since nothing says where the
// next entry begins.
var (
	errNameLength = errors.New("length of the template's name is 0 or above 255")
	errFields     = errors.New("fields do not fill the template data")
	errDigest     = errors.New("digest field has not the form algorithm, colon, NUL, digest")
	errName       = errors.New("name field does not end in its only NUL")
)

// BinaryScanner reads the binary form of a list, binary_runtime_measurements,
// in little endian: u32 PCR, 20 bytes template hash, u32 length and name of the
// template, u32 length and template data; each field of the data has its u32
// length. Template "ima" has no lengths but that of the name (kernel:
// ima_measurements_show).
type BinaryScanner struct {
	r      io.Reader
	buf    []byte
	pcr    []byte
	entry  Entry
	line   int
	offset int64
	err    error
}

// NewBinaryScanner returns a scanner of the list in r, which it reads in small
// steps: buffer it if that is slow.
func NewBinaryScanner(r io.Reader) *BinaryScanner { return &BinaryScanner{r: r} }

// Scan advances to the next entry. It returns false at the end of the list or
// at an error, see [BinaryScanner.Err].
func (s *BinaryScanner) Scan() bool {
	if s.err != nil {
		return false
	}
	start, line := s.offset, s.line+1
	done, err := s.next()
	if err != nil {
		s.err = &FormatError{Line: line, Offset: start, Err: err}
		return false
	}
	return !done
}

// Entry is the entry that the last Scan found; it holds until the next.
func (s *BinaryScanner) Entry() *Entry { return &s.entry }

// Err is the error that ended the scan: a *FormatError, or nil at a clean end.
func (s *BinaryScanner) Err() error { return s.err }

// next reads one entry; done is true at the end of the list.
func (s *BinaryScanner) next() (done bool, err error) {
	const header = 4 + binarySHA1 + 4
	s.buf = s.buf[:0]
	if err := s.more(header); err != nil {
		if errors.Is(err, io.EOF) && len(s.buf) == 0 {
			return true, nil
		}
		return false, err
	}
	n := s.u32(header - 4)
	if n == 0 || n > maxTemplateName {
		return false, errNameLength
	}
	if err := s.more(n + 4); err != nil {
		return false, err
	}
	nameEnd := header + n
	isIMA := string(s.buf[header:nameEnd]) == "ima"
	size := s.u32(nameEnd)
	if isIMA { // what was read as length are the first bytes of the digest
		if err := s.more(binarySHA1 - 4 + 4); err != nil {
			return false, err
		}
		size = s.u32(len(s.buf) - 4)
	}
	if size > MaxEntry {
		return false, ErrTooLong
	}
	dataStart := len(s.buf)
	if err := s.more(size); err != nil {
		return false, err
	}
	s.line++
	s.pcr = strconv.AppendUint(s.pcr[:0], uint64(binary.LittleEndian.Uint32(s.buf)), 10)
	s.entry = Entry{Line: s.line, PCR: s.pcr, TemplateHash: s.buf[4 : 4+binarySHA1 : 4+binarySHA1], Template: s.buf[header:nameEnd:nameEnd]}
	if isIMA {
		s.entry.Digest = s.buf[nameEnd : nameEnd+binarySHA1 : nameEnd+binarySHA1]
		s.entry.Alg, s.entry.Path, s.entry.kind = algSHA1, s.buf[dataStart:], kindIMA
		if len(s.entry.Path) > eventNameMax {
			s.entry.fail(badLongName)
		}
		return false, nil
	}
	return false, s.entry.parseFields(s.buf[dataStart:])
}

// u32 is the number at an offset of the buffer.
func (s *BinaryScanner) u32(at int) int { return int(binary.LittleEndian.Uint32(s.buf[at:])) }

// more reads n more bytes behind the buffer. Memory grows with what is there,
// not with what a length promises. At once at the end of the input it returns
// io.EOF, within the bytes io.ErrUnexpectedEOF.
func (s *BinaryScanner) more(n int) error {
	for read := 0; read < n; {
		step := min(n-read, readSize)
		start := len(s.buf)
		s.buf = append(s.buf, make([]byte, step)...)
		got, err := io.ReadFull(s.r, s.buf[start:])
		s.offset += int64(got)
		s.buf = s.buf[:start+got]
		if err != nil {
			if errors.Is(err, io.EOF) && (read > 0 || start > 0) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		read += step
	}
	return nil
}

// parseFields reads the template data of an entry with field lengths.
func (e *Entry) parseFields(data []byte) error {
	switch string(e.Template) {
	case "ima-ng":
		e.kind = kindNG
	case "ima-sig":
		e.kind = kindSig
	case "ima-buf":
		e.kind = kindBuf
	default:
		e.unsupported()
		if e.known() {
			return e.parseUnsupportedFields(data)
		}
		return nil
	}
	fields, err := splitFields(data, map[kind]int{kindNG: 2, kindSig: 3, kindBuf: 3}[e.kind])
	if err != nil {
		return err
	}
	if err := e.setDigestAndName(fields[0], fields[1]); err != nil {
		return err
	}
	switch e.kind {
	case kindSig:
		if len(fields[2]) > 0 {
			e.setSig(fields[2])
		}
	case kindBuf:
		e.Buf = fields[2]
	}
	return nil
}

// splitFields splits template data into exactly n fields.
func splitFields(data []byte, n int) ([][]byte, error) {
	fields := make([][]byte, 0, n)
	for range n {
		if len(data) < 4 {
			return nil, errFields
		}
		size := binary.LittleEndian.Uint32(data)
		if uint64(size) > uint64(len(data)-4) {
			return nil, errFields
		}
		fields = append(fields, data[4:4+size:4+size])
		data = data[4+size:]
	}
	if len(data) > 0 {
		return nil, errFields
	}
	return fields, nil
}

// setDigestAndName reads the fields d-ng and n-ng.
func (e *Entry) setDigestAndName(digest, name []byte) error {
	i := bytes.Index(digest, colonNUL)
	if i < 0 || bytes.IndexByte(digest[:i], ':') >= 0 {
		return errDigest
	}
	if j := bytes.IndexByte(name, 0); j != len(name)-1 || j < 0 {
		return errName
	}
	e.Alg, e.Digest, e.Path = digest[:i:i], digest[i+len(colonNUL):], name[:len(name)-1:len(name)-1]
	return nil
}

// parseUnsupportedFields reads digest, path and signature of a template that is
// known, but not evaluated, for display; fields it cannot read stay empty.
func (e *Entry) parseUnsupportedFields(data []byte) error {
	for n, rest := 0, data; len(rest) >= 4 && n < 3; n++ {
		size := binary.LittleEndian.Uint32(rest)
		if uint64(size) > uint64(len(rest)-4) {
			return errFields
		}
		field := rest[4 : 4+size : 4+size]
		rest = rest[4+size:]
		switch {
		case n == 0:
			// d-ngv2 is type, colon, algorithm, colon, NUL, digest.
			if typ, after, two := bytes.Cut(field, []byte{':'}); two && bytes.HasSuffix(e.Template, []byte("v2")) {
				e.DigestType, field = typ, after
			}
			if i := bytes.Index(field, colonNUL); i >= 0 {
				e.Alg, e.Digest = field[:i:i], field[i+len(colonNUL):]
			}
		case n == 1:
			e.Path = bytes.TrimSuffix(field, []byte{0})
		case string(e.Template) != "ima-ngv2" && size > 0:
			e.Sig = field
		}
	}
	return nil
}

// NewReader looks at the first bytes of r and returns a reader of the form that
// they have: every ASCII list begins with the digits of a PCR, every binary one
// with the number as four bytes. An empty input is an empty list.
func NewReader(r io.Reader) (Reader, error) {
	head := make([]byte, 4)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("reading the measurement list: %w", err)
	}
	whole := io.MultiReader(bytes.NewReader(head[:n]), r)
	if IsBinary(head[:n]) {
		return NewBinaryScanner(whole), nil
	}
	return NewScanner(whole), nil
}

// IsBinary tells whether a list that begins with head is a binary one.
func IsBinary(head []byte) bool {
	return len(head) >= 4 && head[1] == 0 && head[2] == 0 && head[3] == 0
}
