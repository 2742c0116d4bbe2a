package ima

import (
	"bytes"
	"errors"
	"io"
)

// readSize is the unit in which a list is read, in bytes.
const readSize = 256 << 10

// Scanner reads the ASCII form of a list, one entry after the other, without
// allocating memory for an entry that is in order.
//
// It splits and decodes as Keylime does (PROTOCOL.md 11.1): columns end at
// single blanks, only the newline is stripped (a trailing blank is an empty
// last field), hexadecimal digits may be of either case. A line that cannot be
// evaluated is returned with its Problem set; only a read error or an entry
// above [MaxEntry] ends the scan.
type Scanner struct {
	r     io.Reader
	buf   []byte // unread input is buf[start:end]
	start int
	end   int
	eof   bool
	entry Entry
	hex   []byte // decoded columns of the current entry
	line  int
	err   error
}

// NewScanner returns a scanner of the list in r.
func NewScanner(r io.Reader) *Scanner { return &Scanner{r: r} }

// Reset makes the scanner read r from its beginning, keeping its buffers.
// Lines are counted from firstLine+1, so that the continuation of a list can
// keep its numbers; 0 for a whole list.
func (s *Scanner) Reset(r io.Reader, firstLine int) {
	s.r, s.start, s.end, s.eof, s.line, s.err = r, 0, 0, false, firstLine, nil
}

// Scan advances to the next line that is not empty. It returns false at the
// end of the list or at an error, see [Scanner.Err].
func (s *Scanner) Scan() bool {
	for s.err == nil {
		line, ok := s.next()
		if !ok {
			return false
		}
		s.line++
		if len(line) == 0 {
			continue
		}
		if need := len(line)/2 + 1; cap(s.hex) < need {
			s.hex = make([]byte, 0, max(need, 4096))
		}
		s.entry = Entry{Line: s.line, Raw: line}
		s.hex = s.entry.parse(line, s.hex[:0])
		return true
	}
	return false
}

// Entry is the entry that the last Scan found; it holds until the next.
func (s *Scanner) Entry() *Entry { return &s.entry }

// Err is the error that ended the scan: a *FormatError, or nil at the end of
// the list.
func (s *Scanner) Err() error { return s.err }

// next returns the next line without its newline.
func (s *Scanner) next() ([]byte, bool) {
	searched := 0
	for {
		if i := bytes.IndexByte(s.buf[s.start+searched:s.end], '\n'); i >= 0 {
			line := s.buf[s.start : s.start+searched+i]
			s.start += searched + i + 1
			return line, true
		}
		searched = s.end - s.start
		if s.eof {
			line := s.buf[s.start:s.end]
			s.start = s.end
			return line, len(line) > 0
		}
		if !s.fill() {
			return nil, false
		}
	}
}

// fill reads more input behind what is not yet consumed.
func (s *Scanner) fill() bool {
	if s.start > 0 && len(s.buf)-s.end < readSize/2 {
		copy(s.buf, s.buf[s.start:s.end])
		s.start, s.end = 0, s.end-s.start
	}
	if s.end-s.start > MaxEntry {
		return s.fail(ErrTooLong)
	}
	if s.end == len(s.buf) {
		grown := make([]byte, max(readSize, 2*len(s.buf)))
		copy(grown, s.buf[:s.end])
		s.buf = grown
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.end:])
		if n < 0 || n > len(s.buf)-s.end {
			return s.fail(errors.New("reader returned an impossible count"))
		}
		s.end += n
		switch {
		case errors.Is(err, io.EOF):
			s.eof = true
			return true
		case err != nil:
			return s.fail(err)
		case n > 0:
			return true
		}
	}
	return s.fail(io.ErrNoProgress)
}

// fail keeps err as the end of the scan.
func (s *Scanner) fail(err error) bool {
	s.err = &FormatError{Line: s.line + 1, Offset: -1, Err: err}
	return false
}
