// Package pyre takes Python regular expressions as CPython 3.11 takes them:
// the same patterns are accepted, the same are refused with the same words, and
// a match means what it means there.
//
// Keylime verifiers apply exclude lists and kernel command lines of policies
// with Python's re module. Go's regexp reads nearly the same syntax with other
// meanings ($, \w, {,n}) and takes patterns that Python refuses, so a policy
// checked with it would be judged differently by the verifier. Compile parses
// the pattern itself and translates what it understood: to Go's regexp, which
// runs in linear time, where the meaning can be kept exactly, and to regexp2
// with a limit of time for the rest (look-around, back-references, atomic
// groups). Passing the limit is an error and never a "no".
//
// It works on text (str patterns), not on bytes, and only answers whether a
// subject matches; there are no groups in its answers. Unicode data are those
// of Go (15.0) where CPython 3.11 has 14.0.
package pyre

import "errors"

// Regexp is a compiled pattern, safe for concurrent use. A nil *Regexp, which
// [Join] returns for no patterns, matches nothing.
type Regexp struct {
	text string
}

// Compile parses a pattern as re.compile(pattern) does. The error is an
// *[Error] with CPython's message and position.
func Compile(pattern string) (*Regexp, error) {
	return nil, errors.New("pyre: not there yet")
}

// String returns the pattern as given.
func (r *Regexp) String() string { return r.text }

// Match tells whether the pattern matches at the start of s, as re.match: it
// need not reach the end. Errors: *[TimeoutError].
func (r *Regexp) Match(s string) (bool, error) { return false, errors.New("pyre: not there yet") }

// FullMatch tells whether the pattern matches all of s, as re.fullmatch.
// Errors: *[TimeoutError].
func (r *Regexp) FullMatch(s string) (bool, error) { return false, errors.New("pyre: not there yet") }

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

func (e *Error) Error() string { return e.Msg }

// TimeoutError tells that a match took longer than the limit, so that it is
// not known whether the subject matches.
type TimeoutError struct {
	// Pattern is the pattern, Subject what it was applied to.
	Pattern, Subject string
	// Err is the cause.
	Err error
}

func (e *TimeoutError) Error() string { return e.Err.Error() }

// JoinError is the refusal of one of several patterns to be joined.
type JoinError struct {
	// Index is the position of the pattern in the list, from 0.
	Index int
	// Pattern is that pattern.
	Pattern string
	// Reason says what joining would change; "" if Err says all.
	Reason string
	// Err is the *[Error] of the pattern or of the joined one; nil if it is the
	// meaning that would change.
	Err error
}

func (e *JoinError) Error() string { return e.Reason }

// Join compiles a list of patterns as Keylime does with excludes: joined to
// "(p1)|(p2)|...". It refuses with a *[JoinError] what CPython refuses in the
// joined pattern and what has another meaning in it than alone: back-references
// by number and patterns that are none by themselves. No patterns give nil,
// which matches nothing.
func Join(patterns []string) (*Regexp, error) { return nil, errors.New("pyre: not there yet") }

// CompileJoined is [Join] without the refusal of changed meanings: the pattern
// that a Keylime verifier applies. The error is an *[Error].
func CompileJoined(patterns []string) (*Regexp, error) {
	return nil, errors.New("pyre: not there yet")
}

// Escape puts a backslash before every character with a meaning in patterns,
// exactly as re.escape of Python 3.7 and later.
func Escape(s string) string { return s }
