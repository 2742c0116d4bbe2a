package ima

import (
	"errors"
	"fmt"
)

// ErrTooLong is wrapped by the error of a reader that met an entry larger than
// [MaxEntry].
var ErrTooLong = errors.New("entry is larger than 64 MiB")

// MaxEntry is the size in bytes of the largest entry that a reader accepts; it
// bounds the memory that a hostile list can take. The kernel's largest buffers
// (certificates, policies, command lines) are far below.
const MaxEntry = 64 << 20

// ParseError is the Problem of a line that has not the form of its template.
type ParseError struct {
	// Line is the line's number, from 1.
	Line int
	// Reason says what is wrong, without the line's text.
	Reason string
}

func (e *ParseError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// UnsupportedError is the Problem of an entry whose template Keylime cannot
// evaluate: it fails attestation there, and PCR 10 no longer matches.
type UnsupportedError struct {
	// Line is the line's number, from 1.
	Line int
	// Template is the name of the template.
	Template string
	// Hint says what to do on the machine, "" where nothing is known.
	Hint string
}

func (e *UnsupportedError) Error() string {
	s := fmt.Sprintf("line %d: template %.64q is not supported by Keylime", e.Line, e.Template)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// FormatError is the error of a reader that cannot go on, because the list is
// no list or is cut short.
type FormatError struct {
	// Line is the number of the entry, from 1.
	Line int
	// Offset is the position in the input, in bytes, where the entry begins;
	// -1 where it is not known.
	Offset int64
	// Err is the cause.
	Err error
}

func (e *FormatError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("IMA list, entry %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("IMA list, entry %d at offset %d: %v", e.Line, e.Offset, e.Err)
}

func (e *FormatError) Unwrap() error { return e.Err }
