package eventlog

import (
	"encoding/binary"
	"slices"
	"unicode/utf16"
)

// logBuilder writes logs octet by octet, so that tests can spoil any of them.
type logBuilder struct {
	b     []byte
	algs  []Algorithm
	agile bool
}

func newAgile(algs ...Algorithm) *logBuilder {
	l := &logBuilder{algs: algs, agile: true}
	data := []byte(specID03)
	data = append(data, 0, 0, 0, 0, 0, 2, 0, 2)
	data = le32(data, uint32(len(algs)))
	for _, a := range algs {
		data = binary.LittleEndian.AppendUint16(data, uint16(a))
		data = binary.LittleEndian.AppendUint16(data, uint16(a.Size()))
	}
	data = append(data, 0)
	l.b = le32(l.b, 0)
	l.b = le32(l.b, uint32(NoAction))
	l.b = append(l.b, make([]byte, 20)...)
	l.b = le32(l.b, uint32(len(data)))
	l.b = append(l.b, data...)
	return l
}

func le32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }

// event adds an event whose digests are those of measured.
func (l *logBuilder) event(pcr uint32, t Type, data, measured []byte) *logBuilder {
	l.b = le32(l.b, pcr)
	l.b = le32(l.b, uint32(t))
	if l.agile {
		l.b = le32(l.b, uint32(len(l.algs)))
		for _, a := range l.algs {
			h := NewHash(a.String())
			h.Write(measured)
			l.b = binary.LittleEndian.AppendUint16(l.b, uint16(a))
			l.b = h.Sum(l.b)
		}
	} else {
		h := NewHash("sha1")
		h.Write(measured)
		l.b = h.Sum(l.b)
	}
	l.b = le32(l.b, uint32(len(data)))
	l.b = append(l.b, data...)
	return l
}

func (l *logBuilder) bytes() []byte { return slices.Clone(l.b) }

// variable builds UEFI_VARIABLE_DATA.
func variable(guid GUID, name string, data []byte) []byte {
	units := utf16.Encode([]rune(name))
	b := slices.Clone(guid[:])
	b = binary.LittleEndian.AppendUint64(b, uint64(len(units)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return append(b, data...)
}
