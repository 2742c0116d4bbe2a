package eventlog

import (
	"encoding/binary"
	"hash"
	"math/bits"
)

// sm3 is the hash function of GB/T 32905-2016 (ISO/IEC 10118-3:2018), which
// TPMs and logs of some makers use for a bank and the standard library lacks.
type sm3 struct {
	state  [8]uint32
	block  [64]byte
	filled int
	length uint64
}

func newSM3() hash.Hash {
	s := new(sm3)
	s.Reset()
	return s
}

func (s *sm3) Size() int      { return 32 }
func (s *sm3) BlockSize() int { return 64 }

func (s *sm3) Reset() {
	*s = sm3{state: [8]uint32{
		0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e,
	}}
}

func (s *sm3) Write(p []byte) (int, error) {
	n := len(p)
	s.length += uint64(n)
	for len(p) > 0 {
		k := copy(s.block[s.filled:], p)
		p = p[k:]
		if s.filled += k; s.filled == len(s.block) {
			s.compress()
			s.filled = 0
		}
	}
	return n, nil
}

func (s *sm3) Sum(b []byte) []byte {
	d := *s
	var tail [72]byte
	tail[0] = 0x80
	pad := 56 - d.filled
	if pad <= 0 {
		pad += 64
	}
	binary.BigEndian.PutUint64(tail[pad:], s.length*8)
	_, _ = d.Write(tail[:pad+8])
	for _, word := range d.state {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	return b
}

// compress is the function CF of section 5.3.
func (s *sm3) compress() {
	var w [68]uint32
	for i := range 16 {
		w[i] = binary.BigEndian.Uint32(s.block[4*i:])
	}
	for i := 16; i < 68; i++ {
		x := w[i-16] ^ w[i-9] ^ bits.RotateLeft32(w[i-3], 15)
		w[i] = x ^ bits.RotateLeft32(x, 15) ^ bits.RotateLeft32(x, 23) ^ bits.RotateLeft32(w[i-13], 7) ^ w[i-6]
	}
	a, b, c, d := s.state[0], s.state[1], s.state[2], s.state[3]
	e, f, g, h := s.state[4], s.state[5], s.state[6], s.state[7]
	for i := range 64 {
		t, ff, gg := uint32(0x79cc4519), a^b^c, e^f^g
		if i >= 16 {
			t, ff, gg = 0x7a879d8a, a&b|a&c|b&c, e&f|^e&g
		}
		ss1 := bits.RotateLeft32(bits.RotateLeft32(a, 12)+e+bits.RotateLeft32(t, i%32), 7)
		tt1 := ff + d + (ss1 ^ bits.RotateLeft32(a, 12)) + (w[i] ^ w[i+4])
		tt2 := gg + h + ss1 + w[i]
		d, c, b, a = c, bits.RotateLeft32(b, 9), a, tt1
		h, g, f, e = g, bits.RotateLeft32(f, 19), e, tt2^bits.RotateLeft32(tt2, 9)^bits.RotateLeft32(tt2, 17)
	}
	for i, v := range [8]uint32{a, b, c, d, e, f, g, h} {
		s.state[i] ^= v
	}
}
