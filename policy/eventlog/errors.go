package eventlog

import (
	"fmt"
	"strings"
)

// Kind is the cause of an [Error].
type Kind string

// The kinds of [Error].
const (
	// KindEmpty: no octet at all.
	KindEmpty Kind = "empty"
	// KindTooLarge: more than MaxSize octets, or too many events.
	KindTooLarge Kind = "too-large"
	// KindNotALog: the beginning is not that of an event log.
	KindNotALog Kind = "not-a-log"
	// KindHeader: the header of a crypto-agile log contradicts itself.
	KindHeader Kind = "header"
	// KindTruncated: a length reaches past the end of the log.
	KindTruncated Kind = "truncated"
	// KindPCR: an event extends a register that no TPM has.
	KindPCR Kind = "pcr"
	// KindDigests: the digests of an event are not those the header promises.
	KindDigests Kind = "digests"
	// KindRead: the source could not be read; Err has the cause.
	KindRead Kind = "read"
)

// Error is the only error of [Parse] and [Read].
type Error struct {
	Kind Kind
	// Offset is where in the log the fault was seen, in octets.
	Offset int
	// Event is the number of the event concerned.
	Event int
	// Cause is the fault in words.
	Cause string
	// Hint is a remedy in words, empty if none is known.
	Hint string
	// Err is the underlying error of KindRead.
	Err error
}

// Error names event, offset, cause and, if there is one, the remedy.
func (e *Error) Error() string {
	var b strings.Builder
	switch e.Kind {
	case KindEmpty, KindTooLarge, KindNotALog, KindRead:
		b.WriteString(e.Cause)
	default:
		fmt.Fprintf(&b, "boot event %d at offset %d: %s", e.Event, e.Offset, e.Cause)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the underlying error of KindRead.
func (e *Error) Unwrap() error { return e.Err }

// BankError says that a log cannot be replayed for a bank.
type BankError struct {
	// Bank is the one asked for, Banks are those of the log.
	Bank  string
	Banks []string
	// Unknown is true when the log has the bank but the algorithm is not
	// known here.
	Unknown bool
}

// Error names the bank and those that the log has.
func (e *BankError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("the hash algorithm of bank %s is unknown", e.Bank)
	}
	return fmt.Sprintf("the boot log has no %s digests, only %s", e.Bank, strings.Join(e.Banks, ", "))
}

// BodyError says that the data of an event do not have the form of its type.
type BodyError struct {
	// Event is the event's number, Type its type.
	Event int
	Type  Type
	// Cause is the fault in words.
	Cause string
}

// Error names event, type and cause.
func (e *BodyError) Error() string {
	return fmt.Sprintf("boot event %d (%s): %s", e.Event, e.Type, e.Cause)
}
