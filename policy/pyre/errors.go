package pyre

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Error is the refusal of a pattern.
type Error struct {
	// Pattern is the whole pattern.
	Pattern string
	// Msg is CPython's message, without the position.
	Msg string
	// Pos is the position in characters (not bytes) from 0, or -1 where CPython
	// gives none.
	Pos int
}

// Error returns CPython's text of the same exception: the message, and where
// there is one the position, with line and column if the pattern has lines.
func (e *Error) Error() string {
	if e.Pos < 0 {
		return e.Msg
	}
	s := fmt.Sprintf("%s at position %d", e.Msg, e.Pos)
	if strings.Contains(e.Pattern, "\n") {
		before := []rune(e.Pattern)[:min(e.Pos, utf8.RuneCountInString(e.Pattern))]
		line, column := 1, len(before)+1
		for i, r := range before {
			if r == '\n' {
				line, column = line+1, len(before)-i
			}
		}
		s += fmt.Sprintf(" (line %d, column %d)", line, column)
	}
	return s
}

// TimeoutError tells that a match took longer than the limit or more memory
// than is given to it, so that it is not known whether the subject matches.
type TimeoutError struct {
	// Pattern is the pattern and Subject what it was applied to.
	Pattern, Subject string
	// Limit is the time that was allowed.
	Limit time.Duration
	// Err is the engine's own error.
	Err error
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("regular expression %.200q on %.200q gave no answer within %s or the memory allowed; write it with fewer nested repetitions", e.Pattern, e.Subject, e.Limit)
}

func (e *TimeoutError) Unwrap() error { return e.Err }

// JoinError is the refusal of one of several patterns to be joined.
type JoinError struct {
	// Index is the position of the pattern in the list, from 0.
	Index int
	// Pattern is that pattern.
	Pattern string
	// Reason says what joining would change; "" if Err says all.
	Reason string
	// Err is the *[Error] of the pattern, alone or joined; nil if it is the
	// meaning that would change.
	Err error
}

func (e *JoinError) Error() string {
	switch {
	case e.Err == nil:
		return fmt.Sprintf("pattern %d %.200q: %s", e.Index+1, e.Pattern, e.Reason)
	case e.Reason == "":
		return fmt.Sprintf("pattern %d %.200q: %v", e.Index+1, e.Pattern, e.Err)
	default:
		return fmt.Sprintf("pattern %d %.200q: %v; %s", e.Index+1, e.Pattern, e.Err, e.Reason)
	}
}

func (e *JoinError) Unwrap() error { return e.Err }

// Repr is Python's repr of a text, as its messages quote what they are about.
func Repr(s string) string {
	quote := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}

// Escape puts a backslash before every character that has a meaning in
// patterns, exactly as re.escape of Python 3.7 and later.
func Escape(s string) string {
	const special = "()[]{}?*+-|^$\\.&~# \t\n\r\v\f"
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
