package payload

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a key, a share of one, or a private key. It prints as [redacted] in
// every verb of fmt, in JSON, YAML and slog, also inside of other values. The
// zero value is empty.
type Secret struct {
	// A pointer, since fmt follows no pointers of unexported fields: so the
	// content stays hidden where fmt may not call Format.
	content *[]byte
}

// NewSecret keeps a copy of content.
func NewSecret(content []byte) Secret {
	kept := append([]byte{}, content...)
	return Secret{&kept}
}

// Bytes is the content itself, not a copy: do not change it. nil if empty.
func (s Secret) Bytes() []byte {
	if s.content == nil {
		return nil
	}
	return *s.content
}

// Len is the length of the content in bytes.
func (s Secret) Len() int { return len(s.Bytes()) }

// Equal compares the contents; the time it takes depends on the lengths only.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare(s.Bytes(), other.Bytes()) == 1
}

// String is [redacted].
func (Secret) String() string { return redacted }

// GoString is [redacted].
func (Secret) GoString() string { return redacted }

// Format prints [redacted], whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue is [redacted].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON is "[redacted]".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText is [redacted]; YAML and XML use it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
