package ima

import (
	"bytes"
	"crypto"
	_ "crypto/md5"    // file signatures made with MD5
	"crypto/sha1"     //nolint:gosec // the template hash of nearly all lists
	"crypto/sha256"   // the usual bank
	_ "crypto/sha512" // SHA-384 and SHA-512 banks
	"fmt"
	"hash"
)

// Hasher computes one hash again and again without allocating.
type Hasher struct {
	alg crypto.Hash
	h   hash.Hash // nil for the algorithms that sum has functions for
	sum [maxSum]byte
}

// maxSum is the size in bytes of the longest hash.
const maxSum = 64

// NewHasher returns a hasher of the algorithm; an algorithm that this binary
// does not have is an error.
func NewHasher(alg crypto.Hash) (*Hasher, error) {
	if !alg.Available() || alg.Size() > maxSum {
		return nil, fmt.Errorf("hash algorithm %d is not available", uint(alg))
	}
	h := &Hasher{alg: alg}
	if alg != crypto.SHA1 && alg != crypto.SHA256 {
		h.h = alg.New()
	}
	return h, nil
}

// Size is the length in bytes of a hash.
func (h *Hasher) Size() int { return h.alg.Size() }

// Sum returns the hash of data; the slice holds until the next call.
func (h *Hasher) Sum(data []byte) []byte {
	switch h.alg {
	case crypto.SHA1: // the two of every list; a hash.Hash copies its state to sum
		s := sha1.Sum(data) //nolint:gosec // the kernel's
		return h.sum[:copy(h.sum[:], s[:])]
	case crypto.SHA256:
		s := sha256.Sum256(data)
		return h.sum[:copy(h.sum[:], s[:])]
	default:
		h.h.Reset()
		h.h.Write(data)
		return h.h.Sum(h.sum[:0])
	}
}

// Replay computes the value that PCR 10 of one bank has after the entries of a
// list: value = H(value ‖ H(template data)), from zeros (PROTOCOL.md 11.2).
type Replay struct {
	hasher *Hasher
	padded *Hasher // SHA-1 for a bank whose hash the kernel has not, else nil
	value  []byte
	joined []byte
	data   []byte
	ones   []byte
}

// NewReplay starts at the value start, which is copied, or at zeros if start is
// nil. The length of start must be that of the bank's hash.
func NewReplay(bank crypto.Hash, start []byte) (*Replay, error) {
	h, err := NewHasher(bank)
	if err != nil {
		return nil, err
	}
	if start != nil && len(start) != h.Size() {
		return nil, fmt.Errorf("a PCR of this bank has %d bytes, not %d", h.Size(), len(start))
	}
	r := &Replay{hasher: h, value: make([]byte, h.Size()), joined: make([]byte, 2*h.Size()), ones: bytes.Repeat([]byte{0xff}, h.Size())}
	copy(r.value, start)
	return r, nil
}

// NewPaddedReplay is [NewReplay] for a bank whose hash the kernel had not when
// IMA began, for example SHA-384 as a module: such a bank gets the SHA-1 of the
// template data, filled up with zeros (kernel ima_calc_field_array_hash).
// Keylime does not know this and finds that the list does not match.
func NewPaddedReplay(bank crypto.Hash, start []byte) (*Replay, error) {
	r, err := NewReplay(bank, start)
	if err != nil {
		return nil, err
	}
	r.padded, err = NewHasher(crypto.SHA1)
	return r, err
}

// Value is the current value; it holds until the next extension.
func (r *Replay) Value() []byte { return r.value }

// ExtendData extends the hash of an entry's template data, which the caller has
// from [Entry.AppendTemplateData].
func (r *Replay) ExtendData(data []byte) {
	if r.padded != nil {
		r.extend(r.padded.Sum(data))
		return
	}
	r.extend(r.hasher.Sum(data))
}

// ExtendHash extends a hash of template data that the caller has already
// computed: with the bank's algorithm, or with SHA-1 for a padded replay.
func (r *Replay) ExtendHash(hash []byte) { r.extend(hash) }

// ExtendViolation extends what the kernel extends for a violation: 0xFF bytes.
func (r *Replay) ExtendViolation() { r.extend(r.ones) }

// Extend adds an entry of a list whose template hash column has logSize bytes:
// a violation as the kernel writes it extends 0xFF, a known entry its template
// data, any other nothing, as Keylime does. It reports whether it extended.
func (r *Replay) Extend(e *Entry, logSize int) bool {
	if !e.Known() {
		return false
	}
	if e.Violation(logSize) == ZeroHash {
		r.ExtendViolation()
		return true
	}
	r.data = e.AppendTemplateData(r.data[:0])
	r.ExtendData(r.data)
	return true
}

func (r *Replay) extend(digest []byte) {
	n := copy(r.joined, r.value)
	n += copy(r.joined[n:], digest)
	clear(r.joined[n:])
	copy(r.value, r.hasher.Sum(r.joined))
}
