// Package ima reads what the Linux kernel's Integrity Measurement Architecture
// recorded: the measurement list, in its ASCII and its binary form, file
// signatures, and the keyrings that check them.
//
// A list is data of the machine under suspicion. Nothing in it is believed: the
// reader survives any bytes in bounded memory, and an [Entry] says of itself
// only what stands in its line. Whether the list is the one that the TPM saw is
// decided by replaying it ([Replay]) and comparing with a quoted PCR 10;
// whether its files are allowed is decided by policy/runtime.
//
// The rules are those of Keylime 7.14 (PROTOCOL.md 11.1, 11.3 and 10.4), where
// they differ from the kernel's too, because a list must come to the same
// verdict here and on a Keylime verifier. Kernel: security/integrity/ima,
// Documentation/security/IMA-templates.rst.
package ima

import "bytes"

// PCR is the register that IMA extends unless the kernel was built otherwise.
const PCR = 10

// Entry is one line of a measurement list.
//
// All slices point into buffers of the reader that returned the entry and hold
// until its next Scan; copy what must live longer. The zero Entry is an empty
// line without a template.
type Entry struct {
	// Line counts from 1. Empty lines of an ASCII list are counted but never
	// returned; in a binary list it is the number of the entry.
	Line int
	// Raw is the line without its newline; nil for entries of a binary list.
	Raw []byte
	// PCR is the first column as text, "10" for all that IMA measured.
	PCR []byte
	// TemplateHash is the second column decoded: the hash of the template data
	// as the kernel shows it, SHA-1 in nearly all lists; zeros for a violation.
	TemplateHash []byte
	// Template is the third column: "ima-ng" and so on.
	Template []byte
	// Path names the file; for ima-buf it is the name of the keyring or of the
	// other buffer. The kernel writes blanks in it as underscores.
	Path []byte
	// Alg is the name of the algorithm of Digest as written, or what its length
	// says where the line names none ("sha1", "md5").
	Alg []byte
	// Digest is the digest of the file or of the buffer.
	Digest []byte
	// DigestType is "ima" or "verity" in ima-ngv2 and ima-sigv2, else nil.
	DigestType []byte
	// Sig is the file signature of ima-sig with its header (see
	// [ParseSignature]); nil if there is none or if it is malformed.
	Sig []byte
	// SigProblem says why a signature was taken as absent; nil if it was not.
	SigProblem error
	// Buf is the measured buffer of ima-buf.
	Buf []byte
	// Problem tells why the entry cannot be evaluated: a *ParseError for a line
	// of a wrong form, an *UnsupportedError for a template that Keylime does
	// not know. Such an entry has no template data and is not part of the
	// running hash. Nil for all good entries.
	Problem error

	kind kind
	// trimmed marks an unsigned ima-sig line that lost its blank at the end.
	trimmed bool
}

// kind is the template of an entry that can be evaluated.
type kind uint8

const (
	kindNone kind = iota
	kindIMA
	kindNG
	kindSig
	kindBuf
)

// Known reports whether the entry has one of the four templates that can be
// evaluated (ima, ima-ng, ima-sig, ima-buf) and has its form.
func (e *Entry) Known() bool { return e.Problem == nil && e.kind != kindNone }

// Trimmed reports whether the only fault of the entry is that an editor or a
// copy took the blank at its end, which stands before the empty signature of an
// unsigned ima-sig line. Path, Alg and Digest are good; evaluation refuses the
// line as Keylime does, but a policy can be made from it.
func (e *Entry) Trimmed() bool { return e.trimmed }

// IsBuf reports whether the entry is a known entry of template ima-buf, which
// measures a key or another buffer and no file.
func (e *Entry) IsBuf() bool { return e.kind == kindBuf && e.Problem == nil }

// IsSig reports whether the entry is a known entry of template ima-sig.
func (e *Entry) IsSig() bool { return e.kind == kindSig && e.Problem == nil }

// Reader is what both forms of a list have in common: [Scanner] for the ASCII
// form, [BinaryScanner] for the other.
type Reader interface {
	// Scan advances to the next entry; false at the end or at an error.
	Scan() bool
	// Entry is the current entry, valid until the next Scan.
	Entry() *Entry
	// Err is the first error met, nil at a clean end.
	Err() error
}

// Violation tells what the template hash column of an entry says about a
// violation: a file that was open for writing while it was measured.
type Violation uint8

// The kinds of violation.
const (
	// NoViolation is an ordinary entry.
	NoViolation Violation = iota
	// ZeroHash is a violation as the kernel writes it: the column is all zero,
	// and the TPM was extended with 0xFF bytes.
	ZeroHash
	// OnesHash is a column of 0xFF. No kernel writes it, but Keylime takes it
	// for a violation and skips all checks of the entry, while it extends the
	// real template hash (PROTOCOL.md 11.2). Whoever forges a list can hide a
	// file so: treat it as a refusal.
	OnesHash
)

// Violation classifies the template hash column. logSize is the size in bytes
// of the hash that the list is written with (20 for SHA-1); a column of another
// length is never a violation.
func (e *Entry) Violation(logSize int) Violation {
	if len(e.TemplateHash) != logSize || logSize == 0 {
		return NoViolation
	}
	first := e.TemplateHash[0]
	if first != 0 && first != 0xff {
		return NoViolation
	}
	for _, b := range e.TemplateHash[1:] {
		if b != first {
			return NoViolation
		}
	}
	if first == 0 {
		return ZeroHash
	}
	return OnesHash
}

// eventNameMax is TCG_EVENT_NAME_LEN_MAX: the longest path of template "ima".
const eventNameMax = 255

var (
	colonNUL = []byte{':', 0}
	zeroName [eventNameMax + 1]byte
)

// AppendTemplateData appends the bytes whose hash the TPM was extended with, as
// PROTOCOL.md 11.1 lists them, and returns the longer slice. An entry that is
// not Known adds nothing.
func (e *Entry) AppendTemplateData(dst []byte) []byte {
	if e.Problem != nil {
		return dst
	}
	switch e.kind {
	case kindIMA:
		dst = append(dst, e.Digest...)
		dst = append(dst, e.Path...)
		return append(dst, zeroName[:eventNameMax+1-len(e.Path)]...)
	case kindNG:
		return e.appendDigestAndName(dst)
	case kindSig:
		return appendField(e.appendDigestAndName(dst), e.Sig)
	case kindBuf:
		return appendField(e.appendDigestAndName(dst), e.Buf)
	default:
		return dst
	}
}

// appendDigestAndName appends the fields d-ng and n-ng.
func (e *Entry) appendDigestAndName(dst []byte) []byte {
	dst = appendUint32(dst, len(e.Alg)+len(colonNUL)+len(e.Digest))
	dst = append(dst, e.Alg...)
	dst = append(dst, colonNUL...)
	dst = append(dst, e.Digest...)
	dst = appendUint32(dst, len(e.Path)+1)
	dst = append(dst, e.Path...)
	return append(dst, 0)
}

// appendField appends a field of bytes with its length.
func appendField(dst, field []byte) []byte {
	return append(appendUint32(dst, len(field)), field...)
}

// appendUint32 appends n in little endian, the order of a canonical list.
func appendUint32(dst []byte, n int) []byte {
	return append(dst, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}

// Clone returns a copy of the entry that shares no memory with its reader.
func (e *Entry) Clone() *Entry {
	c := *e
	for _, s := range []*[]byte{&c.Raw, &c.PCR, &c.TemplateHash, &c.Template, &c.Path, &c.Alg, &c.Digest, &c.DigestType, &c.Sig, &c.Buf} {
		*s = bytes.Clone(*s)
	}
	return &c
}
