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
	// A pointer to a string, which fmt never follows; pointers to slices and
	// structs it does. So the content stays hidden where fmt cannot call
	// Format, in unexported fields of other types.
	content *string
}

// NewSecret keeps a copy of content.
func NewSecret(content []byte) Secret {
	kept := string(content)
	return Secret{&kept}
}

// Bytes is a copy of the content; nil for the zero value.
func (s Secret) Bytes() []byte {
	if s.content == nil {
		return nil
	}
	return []byte(*s.content)
}

// Len is the length of the content in bytes.
func (s Secret) Len() int {
	if s.content == nil {
		return 0
	}
	return len(*s.content)
}

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
