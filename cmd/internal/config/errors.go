package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind names what is wrong with a configuration.
type Kind string

// The mistakes that a configuration can hold.
const (
	// The file as such.
	KindUnreadable       Kind = "unreadable"
	KindTooLarge         Kind = "too-large"
	KindEncoding         Kind = "encoding"
	KindNoSection        Kind = "no-section"
	KindDuplicateSection Kind = "duplicate-section"
	KindDuplicateOption  Kind = "duplicate-option"
	KindSyntax           Kind = "syntax"
	// One value.
	KindUnknown Kind = "unknown-option"
	KindEmpty   Kind = "empty"
	KindBoolean Kind = "boolean"
	KindInteger Kind = "integer"
	KindNumber  Kind = "number"
	KindPort    Kind = "port"
	KindList    Kind = "list"
	KindChoice  Kind = "choice"
	// TLS material (PROTOCOL.md 1.3 and 1.5).
	KindTLSDir   Kind = "tls-dir"
	KindTrustAll Kind = "trust-all"
	KindNoTrust  Kind = "no-trust"
	KindNoClient Kind = "no-client-certificate"
)

// Redacted stands where a secret is.
const Redacted = "[redacted]"

// Error is a mistake in the configuration: where it stands, what stands there,
// why that cannot be, and what can.
type Error struct {
	Kind Kind
	// Origin is where the mistake stands.
	Origin Origin
	// Section and Option are empty where a file as such is at fault.
	Section, Option string
	// Value is what stands there, [Redacted] for a secret.
	Value string
	// Cause is one sentence without a period; Hint says what to do instead.
	Cause, Hint string
	Err         error
}

// Error names place, option, value and cause, in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if place := e.Origin.place(); place != "" {
		b.WriteString(place + ": ")
	}
	if e.Option != "" {
		b.WriteString(e.Option)
		if e.Kind != KindDuplicateOption && e.Kind != KindUnknown {
			b.WriteString(" = " + shown(e.Value))
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Cause)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// shownLimit is how much of a value a message repeats, in bytes.
const shownLimit = 120

func shown(value string) string {
	if value == Redacted {
		return value
	}
	if len(value) > shownLimit {
		value = strings.ToValidUTF8(value[:shownLimit], "") + "..."
	}
	return strconv.Quote(value)
}

// OriginKind is the layer that a value came from.
type OriginKind int

// The layers, weakest first.
const (
	OriginDefault OriginKind = iota
	OriginFile
	OriginEnv
	OriginFlag
)

// Origin says where a value came from.
type Origin struct {
	Kind OriginKind
	// Name is the file, the environment variable or the option of the command
	// line; Line counts from 1 in a file, 0 means the whole of it.
	Name string
	Line int
}

// String is "default", "FILE:LINE", "environment KEYLIME_..." or "option --...".
func (o Origin) String() string {
	switch o.Kind {
	case OriginFile:
		if o.Line > 0 {
			return fmt.Sprintf("%s:%d", o.Name, o.Line)
		}
		return o.Name
	case OriginEnv:
		return "environment " + o.Name
	case OriginFlag:
		return "option " + o.Name
	default:
		return "default"
	}
}

// place is the origin as the beginning of a message.
func (o Origin) place() string {
	switch o.Kind {
	case OriginFile:
		return o.String()
	case OriginEnv:
		return "environment variable " + o.Name
	case OriginFlag:
		return o.String()
	default:
		return ""
	}
}
