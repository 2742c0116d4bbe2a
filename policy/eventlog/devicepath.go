package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The types of device path nodes (UEFI 2.10, 10.3.1).
const (
	nodeHardware = 0x01
	nodeACPI     = 0x02
	nodeMessage  = 0x03
	nodeMedia    = 0x04
	nodeBIOS     = 0x05
	nodeEnd      = 0x7f
	endInstance  = 0x01
	endEntire    = 0xff
)

var errDevicePath = errors.New("not a device path")

// maxText and textFactor bound the text of a path, in octets and for each octet
// of the path: libefivar prints some nodes to the end of the whole path, so that
// a hostile one of 64 kB makes a gigabyte of text. The longest nodes that end
// where they say have 25 octets of text for each of theirs.
const (
	maxText    = 1 << 20
	textFactor = 32
	shortText  = 4096
)

// DevicePath returns a device path (UEFI 2.10, chapter 10) as text, exactly as
// libefivar 37 prints it, its oddities included: Keylime shows paths so and its
// policy generator looks for FvVol(…)/FvFile(…) in them. Only the first
// instance of a path is printed, an empty path is the empty text, and what
// follows the end node is ignored. A path that ends within a later node is
// printed up to there; one that ends within its first, or holds a node shorter
// than a node's head, is an error, and so is one whose text is longer than any
// machine's (1 MiB, or 32 times the path).
func DevicePath(path []byte) (string, error) {
	w := nodeWriter{limit: min(maxText, shortText+textFactor*len(path)), end: unknownEnd}
	first := true
	for rest := path; len(rest) > 0; {
		if len(rest) < 4 {
			return w.partial()
		}
		kind, size := rest[0], int(binary.LittleEndian.Uint16(rest[2:]))
		if size > len(rest) {
			return w.partial()
		}
		if !first {
			if kind == nodeEnd {
				break
			}
			w.WriteByte('/')
		}
		if first && kind == nodeEnd && rest[1] == endEntire {
			// libefivar stays on an end that comes first while there is room
			// for another one, without printing.
			if left := len(rest) - size; size >= 4 && left > 0 && left < max(4, size) {
				return "", errDevicePath
			}
			break
		}
		first = false
		if size < 4 {
			return "", errDevicePath
		}
		// libefivar reads a node's fields whatever its length says; here too,
		// within the path, and zeros after it.
		w.node, w.size, w.stray = rest, size, false
		if !w.format(kind, rest[1]) || w.Len() > w.limit {
			return "", errDevicePath
		}
		rest = rest[size:]
	}
	if w.stray {
		w.WriteByte('S')
	}
	return w.text()
}

// nodeWriter prints nodes and reads fields of the current one.
type nodeWriter struct {
	strings.Builder
	node []byte
	size int
	// stray is set when the last node was of a kind of which libefivar leaves
	// one letter.
	stray bool
	// limit bounds the text, see maxText.
	limit int
	// end is how many octets follow the end node, once sizeToEnd has looked for
	// it: it is the same from every node.
	end int
}

// Values of nodeWriter.end that are no number of octets.
const (
	unknownEnd = -1
	noEnd      = -2
)

// partial is the outcome when the path ends too early.
func (w *nodeWriter) partial() (string, error) {
	if w.Len() == 0 {
		return "", errDevicePath
	}
	return w.text()
}

// text is the outcome unless it is no valid UTF-8, which Keylime cannot take.
func (w *nodeWriter) text() (string, error) {
	if !utf8.ValidString(w.String()) {
		return "", errDevicePath
	}
	return w.String(), nil
}

func (w *nodeWriter) printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// at returns the field of n octets at an offset from the node's start.
func (w *nodeWriter) at(offset, n int) []byte {
	if offset+n <= len(w.node) {
		return w.node[offset : offset+n]
	}
	b := make([]byte, n)
	if offset < len(w.node) {
		copy(b, w.node[offset:])
	}
	return b
}

func (w *nodeWriter) u8(offset int) byte     { return w.at(offset, 1)[0] }
func (w *nodeWriter) u16(offset int) uint16  { return binary.LittleEndian.Uint16(w.at(offset, 2)) }
func (w *nodeWriter) u32(offset int) uint32  { return binary.LittleEndian.Uint32(w.at(offset, 4)) }
func (w *nodeWriter) u64(offset int) uint64  { return binary.LittleEndian.Uint64(w.at(offset, 8)) }
func (w *nodeWriter) be64(offset int) uint64 { return binary.BigEndian.Uint64(w.at(offset, 8)) }
func (w *nodeWriter) guid(offset int) GUID   { return GUID(w.at(offset, 16)) }

// tail returns the octets from an offset to the node's end.
func (w *nodeWriter) tail(offset int) []byte {
	if offset >= w.size {
		return nil
	}
	return w.node[offset:w.size]
}

// ucs2 prints UCS-2 text from an offset to the node's end: the last character
// is taken for the terminator, and surrogates are not UTF-8, as in libefivar.
func (w *nodeWriter) ucs2(offset int) {
	b := w.tail(offset)
	for i := 0; i+3 < len(b); i += 2 {
		u := binary.LittleEndian.Uint16(b[i:])
		if u == 0 {
			return
		}
		if utf16.IsSurrogate(rune(u)) {
			w.WriteByte(0xff) // makes the whole text invalid, see text
			continue
		}
		w.WriteRune(rune(u))
	}
}

// cstring returns the text up to the first NUL.
func cstring(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// vendor prints a vendor-defined node: its GUID and, if any, its data.
func (w *nodeWriter) vendor(label string) {
	w.printf("%s(%s", label, w.guid(4))
	if data := w.tail(20); len(data) > 0 {
		w.printf(",%x", data)
	}
	w.WriteByte(')')
}

// format prints one node; false if libefivar would fail on it.
func (w *nodeWriter) format(kind, sub byte) bool {
	switch kind {
	case nodeHardware:
		w.hardware(sub)
	case nodeACPI:
		return w.acpi(sub)
	case nodeMessage:
		w.message(sub)
	case nodeMedia:
		w.media(sub)
	case nodeBIOS:
		w.bios(sub)
	case nodeEnd:
		if sub == endInstance {
			w.WriteByte(',')
		}
	default:
		w.printf("Path(%d,%d,%x)", kind, sub, w.tail(4))
	}
	return true
}

const edd10 = "cf31fac5-c24e-11d2-85f3-00a0c93ec93b"

// hardware prints nodes of UEFI 2.10, 10.3.2.
func (w *nodeWriter) hardware(sub byte) {
	switch sub {
	case 0x01:
		w.printf("Pci(0x%x,0x%x)", w.u8(5), w.u8(4))
	case 0x02:
		w.printf("PcCard(0x%x)", w.u8(4))
	case 0x03:
		w.printf("MemoryMapped(%d,0x%x,0x%x)", w.u32(4), w.u64(8), w.u64(16))
	case 0x04:
		if w.guid(4).String() == edd10 {
			w.printf("EDD10(0x%x)", w.u32(20))
			return
		}
		w.vendor("VenHw")
	case 0x05:
		w.printf("Ctrl(0x%x)", w.u32(4))
	case 0x06:
		w.printf("BMC(%d,0x%x)", w.u8(4), w.u64(5))
	default:
		w.printf("HardwarePath(%d,%x)", sub, w.tail(4))
	}
}

// bios prints nodes of the BIOS boot specification (UEFI 2.10, 10.3.6).
func (w *nodeWriter) bios(sub byte) {
	if sub != 0x01 {
		w.printf("BbsPath(%d,%x)", sub, w.tail(4))
		return
	}
	device := strconv.Itoa(int(w.u16(4)))
	switch w.u16(4) {
	case 1:
		device = "Floppy"
	case 2:
		device = "HD"
	case 3:
		device = "CDROM"
	case 4:
		device = "PCMCIA"
	case 5:
		device = "USB"
	case 6:
		device = "Network"
	}
	w.printf("BBS(%s,%s,0x%x)", device, cstring(w.node[min(8, len(w.node)):]), w.u16(6))
}
