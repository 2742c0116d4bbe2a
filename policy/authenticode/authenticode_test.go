package authenticode

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// picture is an image built by hand.
type picture struct {
	plus         bool // PE32+
	directories  int  // data directories, 16 as a rule
	sections     []section
	certificates int
	trailing     int // octets between the last section and the certificates
}

type section struct{ at, size int }

const (
	lfanew      = 0x80
	headersSize = 0x400
)

// build returns the file and the octets that are to be hashed, found without
// the code under test.
func (p picture) build() (file, hashed []byte) {
	le := binary.LittleEndian
	fixed, magic := 96, uint16(magicPE32)
	if p.plus {
		fixed, magic = 112, magicPE32Plus
	}
	end := headersSize
	for _, s := range p.sections {
		end = max(end, s.at+s.size)
	}
	file = make([]byte, end+p.trailing+p.certificates)
	for i := range file {
		file[i] = byte(i*7 + i>>8) // every octet counts
	}
	clear(file[:headersSize])
	copy(file, "MZ")
	le.PutUint32(file[0x3c:], lfanew)
	pe := file[lfanew:]
	copy(pe, "PE\x00\x00")
	le.PutUint16(pe[6:], uint16(len(p.sections)))
	le.PutUint16(pe[20:], uint16(fixed+8*p.directories))
	optional := pe[24:]
	le.PutUint16(optional, magic)
	le.PutUint32(optional[60:], headersSize)
	le.PutUint32(optional[64:], 0xdeadbeef) // checksum
	le.PutUint32(optional[fixed-4:], uint32(p.directories))
	skip := []int{lfanew + 24 + 64, lfanew + 24 + 68}
	if p.directories > certificateTable {
		at := fixed + 8*certificateTable
		le.PutUint32(optional[at:], uint32(end+p.trailing))
		le.PutUint32(optional[at+4:], uint32(p.certificates))
		skip = append(skip, lfanew+24+at, lfanew+24+at+8)
	}
	table := optional[fixed+8*p.directories:]
	for i, s := range p.sections {
		copy(table[40*i:], ".s")
		le.PutUint32(table[40*i+16:], uint32(s.size))
		le.PutUint32(table[40*i+20:], uint32(s.at))
	}
	hashed = slices.Clone(file[:len(file)-p.certificates])
	for i := len(skip) - 2; i >= 0; i -= 2 {
		hashed = slices.Delete(hashed, skip[i], skip[i+1])
	}
	return file, hashed
}

func digest(t *testing.T, file []byte) ([]byte, error) {
	t.Helper()
	return Digest(bytes.NewReader(file), int64(len(file)), sha256.New())
}

// TestDigest: what is hashed, in both kinds of headers.
func TestDigest(t *testing.T) {
	t.Parallel()
	adjacent := []section{{0x400, 0x200}, {0x600, 0x130}}
	for name, p := range map[string]picture{
		"PE32+":                      {plus: true, directories: 16, sections: adjacent},
		"PE32":                       {directories: 16, sections: adjacent},
		"signed":                     {plus: true, directories: 16, sections: adjacent, certificates: 0x1d8},
		"signed PE32":                {directories: 16, sections: adjacent, certificates: 0x1d8},
		"octets after the sections":  {plus: true, directories: 16, sections: adjacent, trailing: 21},
		"the same, signed":           {plus: true, directories: 16, sections: adjacent, trailing: 8, certificates: 0x100},
		"no certificate directory":   {plus: true, directories: 4, sections: adjacent},
		"no section":                 {directories: 16},
		"section table out of order": {plus: true, directories: 16, sections: []section{{0x600, 0x130}, {0, 0}, {0x400, 0x200}}},
	} {
		file, hashed := p.build()
		want := sha256.Sum256(hashed)
		got, err := digest(t, file)
		if err != nil || !bytes.Equal(got, want[:]) {
			t.Errorf("%s: %x, %v; want %x", name, got, err, want)
		}
	}
}

// TestWhatCounts: checksum and certificates may change, nothing else.
func TestWhatCounts(t *testing.T) {
	t.Parallel()
	file, _ := picture{plus: true, directories: 16, sections: []section{{0x400, 0x40}}, certificates: 0x10}.build()
	before, err := digest(t, file)
	if err != nil {
		t.Fatal(err)
	}
	entry := lfanew + 24 + 112 + 8*certificateTable
	for i := range file {
		free := i >= lfanew+24+64 && i < lfanew+24+68 || i >= entry && i < entry+4 || i >= len(file)-0x10
		length := i >= entry+4 && i < entry+8 // of the certificate table
		changed := slices.Clone(file)
		changed[i] ^= 1
		after, err := digest(t, changed)
		if same := err == nil && bytes.Equal(before, after); same != free && !length {
			t.Errorf("octet %d: same digest %v, want %v (%v)", i, same, free, err)
		}
	}
}

// TestFaults spoils one thing of an image at a time.
func TestFaults(t *testing.T) {
	t.Parallel()
	good, _ := picture{plus: true, directories: 16, sections: []section{{0x400, 0x40}}, certificates: 0x10}.build()
	le := binary.LittleEndian
	optional := lfanew + 24
	table := optional + 112 + 128
	put16 := func(at int, v uint16) []byte { b := slices.Clone(good); le.PutUint16(b[at:], v); return b }
	put32 := func(at int, v uint32) []byte { b := slices.Clone(good); le.PutUint32(b[at:], v); return b }
	many := slices.Clone(good)
	le.PutUint16(many[lfanew+6:], 5)
	for i := range 5 {
		le.PutUint32(many[table+40*i+16:], uint32(len(good)-0x100))
		le.PutUint32(many[table+40*i+20:], 0x100)
	}
	for _, c := range []struct {
		name, text string
		file       []byte
	}{
		{"empty", "DOS header", nil},
		{"no MZ", "MZ", put16(0, 0)},
		{"PE header outside", "PE header", put32(0x3c, 0xffffff00)},
		{"no PE", "PE signature", put16(lfanew, 0)},
		{"sections", "65535 sections", put16(lfanew+6, 0xffff)},
		{"section table outside", "section table", put16(lfanew+6, 90)},
		{"object file", "object file", put16(lfanew+20, 0)},
		{"optional header outside", "optional header", put16(lfanew+20, 0xffff)},
		{"optional header short", "too short", put16(lfanew+20, 100)},
		{"magic", "kind 0x107", put16(optional, 0x107)},
		{"headers small", "headers of 16", put32(optional+60, 16)},
		{"headers large", "headers of 4294967295", put32(optional+60, 0xffffffff)},
		{"section outside", "section", put32(table+20, 0xffffff00)},
		{"overlap", "overlap", many},
		{"certificates", "certificates", put32(optional+112+8*certificateTable+4, 0x4000)},
	} {
		_, err := digest(t, c.file)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	broken := errors.New("cable")
	_, err := Digest(failing{broken}, int64(len(good)), sha256.New())
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	_, err = Digest(bytes.NewReader(good), int64(len(good))+100, sha256.New())
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that shrank: %v", err)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return iotest.ErrReader(f.err).Read(nil) }

func FuzzDigest(f *testing.F) {
	for _, plus := range []bool{false, true} {
		for _, certificates := range []int{0, 0x10} {
			file, _ := picture{plus: plus, directories: 16, sections: []section{{0x400, 0x20}, {0x420, 0x20}}, certificates: certificates, trailing: 3}.build()
			f.Add(file)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		c := &counter{ReaderAt: bytes.NewReader(file)}
		d, err := Digest(c, int64(len(file)), sha256.New())
		if (err == nil) != (len(d) == 32) {
			t.Fatalf("%x, %v", d, err)
		}
		if c.read > 6*int64(len(file))+1024 {
			t.Fatalf("%d octets read of %d", c.read, len(file))
		}
	})
}

// counter counts what is read.
type counter struct {
	io.ReaderAt
	read int64
}

func (c *counter) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, at)
	c.read += int64(n)
	return n, err
}
