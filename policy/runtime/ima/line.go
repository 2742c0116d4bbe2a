package ima

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// The problems of lines, allocated once per kind of fault and not per line.
const (
	badColumns   = "a line needs PCR, template hash, template and data, separated by single blanks"
	badHash      = "template hash is not hexadecimal"
	badTwo       = "template data needs a digest and a path"
	badThree     = "template data needs a digest, a name and a last field, which may be empty"
	badDigest    = "digest is not hexadecimal"
	badAlgorithm = "digest names no algorithm and has the length of neither SHA-1 nor MD5"
	badColons    = "digest has more than one colon"
	badBuffer    = "buffer is not hexadecimal"
	badLongName  = "path is longer than the 255 bytes of template \"ima\""
)

// parse fills the entry from its line; decoded columns are appended to scratch,
// which must have room for half the line.
func (e *Entry) parse(line, scratch []byte) []byte {
	pcr, rest, ok1 := cut(line)
	column, rest, ok2 := cut(rest)
	template, data, ok3 := cut(rest)
	if !ok1 || !ok2 || !ok3 {
		e.fail(badColumns)
		return scratch
	}
	e.PCR, e.Template = pcr, template
	if e.TemplateHash, scratch, ok1 = decodeHex(scratch, column); !ok1 {
		e.TemplateHash = nil
		e.fail(badHash)
		return scratch
	}
	switch string(template) {
	case "ima-ng":
		return e.parseTwo(kindNG, data, scratch)
	case "ima-sig":
		return e.parseThree(kindSig, data, scratch)
	case "ima-buf":
		return e.parseThree(kindBuf, data, scratch)
	case "ima":
		scratch = e.parseTwo(kindIMA, data, scratch)
		if e.Problem == nil && len(e.Path) > eventNameMax {
			e.fail(badLongName)
		}
		return scratch
	default:
		return e.parseUnsupported(data, scratch)
	}
}

// parseTwo reads "digest path"; the path may contain blanks.
func (e *Entry) parseTwo(k kind, data, scratch []byte) []byte {
	digest, path, ok := cut(data)
	if !ok {
		e.fail(badTwo)
		return scratch
	}
	e.kind, e.Path = k, path
	return e.parseDigest(digest, scratch)
}

// parseThree reads "digest name hex"; the last field may be empty.
func (e *Entry) parseThree(k kind, data, scratch []byte) []byte {
	digest, rest, ok1 := cut(data)
	name, last, ok2 := cut(rest)
	if !ok1 || (!ok2 && k != kindSig) {
		e.fail(badThree)
		return scratch
	}
	e.kind, e.Path = k, name
	scratch = e.parseDigest(digest, scratch)
	if e.Problem != nil {
		return scratch
	}
	if !ok2 {
		e.trimmed = true
		e.fail(badThree)
		return scratch
	}
	field, scratch, ok := decodeHex(scratch, last)
	if k == kindBuf {
		if !ok {
			e.fail(badBuffer)
			return scratch
		}
		e.Buf = field
		return scratch
	}
	switch {
	case len(last) == 0:
	case !ok:
		e.SigProblem = errSigHex
	default:
		e.setSig(field)
	}
	return scratch
}

// setSig takes a signature if its header fits, otherwise none, which is what
// Keylime does (and what makes the template hash differ).
func (e *Entry) setSig(sig []byte) {
	if e.SigProblem = checkSigHeader(sig); e.SigProblem == nil {
		e.Sig = sig
	}
}

// parseDigest reads "alg:hex" or a bare "hex".
func (e *Entry) parseDigest(text, scratch []byte) []byte {
	i := bytes.IndexByte(text, ':')
	if i >= 0 && bytes.IndexByte(text[i+1:], ':') >= 0 {
		e.fail(badColons)
		return scratch
	}
	digest, scratch, ok := decodeHex(scratch, text[i+1:])
	if !ok {
		e.fail(badDigest)
		return scratch
	}
	e.Digest = digest
	switch {
	case i >= 0:
		e.Alg = text[:i]
	case len(digest) == 20:
		e.Alg = algSHA1
	case len(digest) == 16:
		e.Alg = algMD5
	default:
		e.fail(badAlgorithm)
	}
	return scratch
}

var (
	algSHA1 = []byte("sha1")
	algMD5  = []byte("md5")
)

// fail sets the Problem of an entry that has not its form.
func (e *Entry) fail(reason string) { e.Problem = &ParseError{Line: e.Line, Reason: reason} }

// cut splits at the first blank.
func cut(b []byte) (before, after []byte, found bool) {
	if i := bytes.IndexByte(b, ' '); i >= 0 {
		return b[:i], b[i+1:], true
	}
	return b, nil, false
}

// The faults of a signature in a list.
var (
	errSigHex    = errors.New("signature is not hexadecimal")
	errSigShort  = errors.New("signature is shorter than its header of 9 bytes")
	errSigLength = errors.New("signature has another length than its header says")
)

// sigHeader is the size in bytes of a signature's header.
const sigHeader = 9

// checkSigHeader applies the check of a list's reader: the length in the header
// is that of the rest.
func checkSigHeader(sig []byte) error {
	if len(sig) < sigHeader {
		return errSigShort
	}
	if int(binary.BigEndian.Uint16(sig[7:9])) != len(sig)-sigHeader {
		return errSigLength
	}
	return nil
}

// hexValue maps an ASCII digit to its value, everything else to 0xff.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range 10 {
		t['0'+i] = byte(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = byte(10+i), byte(10+i)
	}
	return t
}()

// decodeHex appends the bytes of text to scratch and returns them and the
// longer scratch. Like Python's bytes.fromhex it skips white space between
// bytes; an odd number of digits is refused.
func decodeHex(scratch, text []byte) (decoded, longer []byte, ok bool) {
	from := len(scratch)
	for i := 0; i < len(text); {
		hi := hexValue[text[i]]
		if hi > 0xf {
			if !isSpace(text[i]) {
				return nil, scratch[:from], false
			}
			i++
			continue
		}
		if i+1 >= len(text) {
			return nil, scratch[:from], false
		}
		lo := hexValue[text[i+1]]
		if lo > 0xf {
			return nil, scratch[:from], false
		}
		scratch = append(scratch, hi<<4|lo)
		i += 2
	}
	return scratch[from:len(scratch):len(scratch)], scratch, true
}

// isSpace reports ASCII white space.
func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
