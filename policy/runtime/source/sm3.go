package source

import (
	"encoding/binary"
	"math/bits"
)

// sm3 is the hash of GB/T 32905-2016 (draft-sca-cfrg-sm3), which the kernel and
// Keylime have, and Go's library has not.
type sm3 struct {
	state [8]uint32
	block [64]byte
	n     int    // bytes in block
	size  uint64 // bytes written
}

func newSM3() *sm3 {
	s := &sm3{}
	s.Reset()
	return s
}

func (s *sm3) Reset() {
	*s = sm3{state: [8]uint32{0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e}}
}

func (s *sm3) Size() int { return 32 }

func (s *sm3) BlockSize() int { return 64 }

func (s *sm3) Write(p []byte) (int, error) {
	written := len(p)
	s.size += uint64(written)
	if s.n > 0 {
		n := copy(s.block[s.n:], p)
		s.n += n
		p = p[n:]
		if s.n < 64 {
			return written, nil
		}
		s.compress(s.block[:])
		s.n = 0
	}
	for ; len(p) >= 64; p = p[64:] {
		s.compress(p[:64])
	}
	s.n = copy(s.block[:], p)
	return written, nil
}

func (s *sm3) Sum(b []byte) []byte {
	c := *s
	bitCount := c.size * 8
	padding := make([]byte, 1, 72)
	padding[0] = 0x80
	for (c.n+len(padding))%64 != 56 {
		padding = append(padding, 0)
	}
	_, _ = c.Write(binary.BigEndian.AppendUint64(padding, bitCount))
	for _, word := range c.state {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	return b
}

// compress adds one block (section 5.3).
func (s *sm3) compress(p []byte) {
	var w [68]uint32
	for j := range 16 {
		w[j] = binary.BigEndian.Uint32(p[4*j:])
	}
	for j := 16; j < 68; j++ {
		x := w[j-16] ^ w[j-9] ^ bits.RotateLeft32(w[j-3], 15)
		w[j] = x ^ bits.RotateLeft32(x, 15) ^ bits.RotateLeft32(x, 23) ^ bits.RotateLeft32(w[j-13], 7) ^ w[j-6]
	}
	a, b, c, d, e, f, g, h := s.state[0], s.state[1], s.state[2], s.state[3], s.state[4], s.state[5], s.state[6], s.state[7]
	for j := range 64 {
		t, ff, gg := uint32(0x79cc4519), a^b^c, e^f^g
		if j >= 16 {
			t, ff, gg = 0x7a879d8a, a&b|a&c|b&c, e&f|^e&g
		}
		ss1 := bits.RotateLeft32(bits.RotateLeft32(a, 12)+e+bits.RotateLeft32(t, j%32), 7)
		ss2 := ss1 ^ bits.RotateLeft32(a, 12)
		tt1, tt2 := ff+d+ss2+(w[j]^w[j+4]), gg+h+ss1+w[j]
		a, b, c, d = tt1, a, bits.RotateLeft32(b, 9), c
		e, f, g, h = tt2^bits.RotateLeft32(tt2, 9)^bits.RotateLeft32(tt2, 17), e, bits.RotateLeft32(f, 19), g
	}
	for i, v := range [8]uint32{a, b, c, d, e, f, g, h} {
		s.state[i] ^= v
	}
}
