package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Kind is the cause of a failed call.
type Kind int

// The causes of a failed call. Every [Error] has one of them.
const (
	// Unknown is the kind of errors that do not come from a call.
	Unknown Kind = iota
	// Unreachable: no connection, or it broke before an answer came.
	Unreachable
	// TimedOut: no complete answer within the time limit.
	TimedOut
	// Canceled: the caller has given up.
	Canceled
	// ServerUntrusted: the server's certificate is refused here, or no TLS
	// that could be trusted came about: the server speaks plain HTTP, or no
	// version of TLS from 1.2 on.
	ServerUntrusted
	// ClientRefused: the server refuses our certificate, or misses one.
	ClientRefused
	// Unauthorized: HTTP 401 or 403.
	Unauthorized
	// NotFound: HTTP 404.
	NotFound
	// Conflict: HTTP 409.
	Conflict
	// Refused: any other status that is not a success, redirects included.
	Refused
	// Unreadable: the answer is not the JSON expected: another format, other
	// types, cut short, or larger than [MaxBody].
	Unreadable
)

// String names the kind in words.
func (k Kind) String() string {
	switch k {
	case Unreachable:
		return "unreachable"
	case TimedOut:
		return "timed out"
	case Canceled:
		return "canceled"
	case ServerUntrusted:
		return "server not trusted"
	case ClientRefused:
		return "client certificate refused"
	case Unauthorized:
		return "not authorized"
	case NotFound:
		return "not found"
	case Conflict:
		return "conflict"
	case Refused:
		return "refused"
	case Unreadable:
		return "unreadable answer"
	}
	return "unknown"
}

// KindOf is the kind of the [Error] inside err. An error without one is
// TimedOut or Canceled if its context says so, otherwise Unknown.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Unknown
}

// Error is a call that failed.
type Error struct {
	// Server is the name and address: "registrar 127.0.0.1:8891".
	Server string
	// Method and Path are of the request that failed; Path has the version
	// prefix and no query.
	Method, Path string
	Kind         Kind
	// HTTP is the status of the answer, 0 if there was none.
	HTTP int
	// Reply is the answer as far as it was received; nil if there was none.
	Reply *Reply
	// Err is the cause; its text is fit for a terminal.
	Err error
	// Hint says what to do; may be empty.
	Hint string
}

// Error says which server, what and why. Text of the server is quoted and cut.
func (e *Error) Error() string {
	switch e.Kind {
	case Unreachable:
		return fmt.Sprintf("%s cannot be reached: %v", e.Server, e.Err)
	case TimedOut, Canceled:
		return fmt.Sprintf("%s: %s %s: %v", e.Server, e.Method, printable(e.Path), e.Err)
	case ServerUntrusted:
		return fmt.Sprintf("%s is not trusted: %v", e.Server, e.Err)
	case ClientRefused:
		return fmt.Sprintf("%s refuses our client certificate: %v", e.Server, e.Err)
	}
	parts := []string{e.Server, e.Method + " " + printable(e.Path)}
	if e.HTTP != 0 {
		parts = append(parts, strings.TrimSpace(strconv.Itoa(e.HTTP)+" "+http.StatusText(e.HTTP)))
	}
	if e.Reply != nil && e.Reply.Status != "" && e.Reply.Status != http.StatusText(e.HTTP) && e.Kind != Unreadable {
		parts = append(parts, quoted(e.Reply.Status))
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// FileError is TLS material that cannot be used. Nothing has been sent.
type FileError struct {
	// Option is the name of the option that names the file: "client_key".
	Option string
	// Path is the file; empty if none is configured.
	Path string
	// Cause says in words what is wrong with it.
	Cause string
	// Err is the cause below; may be nil.
	Err error
}

// Error says which file of which option, and what is wrong with it.
func (e *FileError) Error() string {
	if e.Path == "" {
		return e.Option + ": " + e.Cause
	}
	return fmt.Sprintf("%s %s: %s", e.Option, printable(e.Path), e.Cause)
}

// Unwrap returns the cause below.
func (e *FileError) Unwrap() error { return e.Err }

// AddressError is a host or port that no connection can be made to.
type AddressError struct {
	// Server is the name of the server: "agent".
	Server string
	Host   string
	Port   int
	// Cause says in words what is wrong.
	Cause string
}

// Error says which address of which server, and what is wrong with it.
func (e *AddressError) Error() string {
	return fmt.Sprintf("address of the %s, host %s port %d: %s", e.Server, quoted(e.Host), e.Port, e.Cause)
}

// because is a cause with a text of its own, which keeps the error below.
type because struct {
	text string
	err  error
}

func (b *because) Error() string { return b.text }
func (b *because) Unwrap() error { return b.err }

// quoteLimit is how much of a server's text a message repeats, in bytes.
const quoteLimit = 300

// quoted makes text of others fit for a terminal: quoted, and of limited length.
func quoted(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > quoteLimit {
		text = text[:quoteLimit] + "..."
	}
	return strconv.Quote(text)
}

// tidy makes a message of a library, which may repeat text of others, fit for a
// terminal: without control characters, and of limited length.
func tidy(text string) string {
	if len(text) > quoteLimit {
		text = text[:quoteLimit] + "..."
	}
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// printable leaves plain text as it is and quotes everything else.
func printable(text string) string {
	if q := quoted(text); q != `"`+text+`"` {
		return q
	}
	return text
}
