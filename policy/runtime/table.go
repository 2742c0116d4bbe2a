package runtime

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"math/bits"
	"strings"
)

// table maps names to digests, for look-ups only. A Go map of strings does the
// same with four cache misses a look-up where this has two, and those are what
// the evaluation of a long list spends its time on.
//
// Records lie one after the other in records: length of the name (uvarint),
// name, number of digests (uvarint), and each digest behind its length (one
// byte). Slots are an open hash table: 24 bits of the name's hash above 40 bits
// of the record's offset plus one; 0 is free.
type table struct {
	seed    maphash.Seed
	slots   []uint64
	records []byte
}

const offsetBits = 40

// newTable copies a map. A digest that is not whole bytes in small letters, or
// ends in a newline, equals no digest that a machine can show and is left out.
func newTable(m *DigestMap) *table {
	size := 0
	for name, list := range m.All() {
		size += len(name) + 2*binary.MaxVarintLen32
		for _, text := range list {
			size += len(text)/2 + 1
		}
	}
	t := &table{
		seed:    maphash.MakeSeed(),
		slots:   make([]uint64, 1<<bits.Len(uint(2*m.Len()))),
		records: make([]byte, 0, size),
	}
	for name, list := range m.All() {
		t.insert(name, list)
	}
	return t
}

func (t *table) insert(name string, list []string) {
	at := uint64(len(t.records))
	t.records = binary.AppendUvarint(t.records, uint64(len(name)))
	t.records = append(t.records, name...)
	n := uint64(0)
	for _, text := range list {
		if usable(text) {
			n++
		}
	}
	t.records = binary.AppendUvarint(t.records, n)
	for _, text := range list {
		if usable(text) {
			t.records = append(t.records, byte(len(text)/2))
			t.records, _ = hex.AppendDecode(t.records, []byte(text)) // usable says that it can be
		}
	}
	h := maphash.String(t.seed, name)
	i := h & uint64(len(t.slots)-1)
	for t.slots[i] != 0 {
		i = (i + 1) & uint64(len(t.slots)-1)
	}
	t.slots[i] = h>>offsetBits<<offsetBits | (at + 1)
}

func usable(text string) bool {
	return len(text)%2 == 0 && strings.Trim(text, "0123456789abcdef") == "" && len(text)/2 <= 0xff
}

// find returns the digests of a name, and whether the table has it.
func (t *table) find(name []byte) (digests, bool) {
	h := maphash.Bytes(t.seed, name)
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; t.slots[i] != 0; i = (i + 1) & mask {
		if (t.slots[i]^h)>>offsetBits != 0 {
			continue
		}
		record := t.records[t.slots[i]&(1<<offsetBits-1)-1:]
		n, skip := binary.Uvarint(record)
		record = record[skip:]
		if n == uint64(len(name)) && bytes.Equal(record[:n], name) {
			return digests(record[n:]), true
		}
	}
	return nil, false
}

// digests are the digests of one name as the table holds them; nil is none.
type digests []byte

// all yields each digest.
func (d digests) all(yield func([]byte) bool) {
	n, skip := binary.Uvarint(d)
	if skip <= 0 {
		return
	}
	for d = d[skip:]; n > 0; n-- {
		size := int(d[0])
		if !yield(d[1 : 1+size]) {
			return
		}
		d = d[1+size:]
	}
}

// holds tells whether a digest is among them.
func (d digests) holds(digest []byte) bool {
	for one := range d.all {
		if bytes.Equal(one, digest) {
			return true
		}
	}
	return false
}

// hex lists the digests for people.
func (d digests) hex() []string {
	var out []string
	for one := range d.all {
		out = append(out, hex.EncodeToString(one))
	}
	return out
}
