package runtime

import (
	"errors"
	"time"
)

// SchemaError is the refusal of a policy that is JSON but no runtime policy.
type SchemaError struct {
	// Message is the first line of upstream's message, for example
	// "'meta' is a required property".
	Message string
	// Path names the place in the policy, "" for the top.
	Path string
}

func (e *SchemaError) Error() string { return e.Message }

// SyntaxError is the refusal of bytes that are no JSON.
type SyntaxError struct{ Err error }

func (e *SyntaxError) Error() string { return "runtime policy is not valid JSON: " + e.Err.Error() }

func (e *SyntaxError) Unwrap() error { return e.Err }

// ParsePolicy reads a plain runtime policy (not an envelope, see policy/dsse).
// Errors: *[SyntaxError], *[SchemaError].
func ParsePolicy(data []byte) (*Policy, error) { return nil, errors.New("runtime: not there yet") }

// Empty returns the empty policy (PROTOCOL.md 10.1): every file is refused.
func Empty() *Policy { return &Policy{} }

// Marshal returns the policy as one line of JSON in upstream's form (", " and
// ": " between elements), without a newline.
func (p *Policy) Marshal() []byte { return nil }

// Clone returns a deep copy.
func (p *Policy) Clone() *Policy { return &Policy{} }

// ConvertLegacy makes a policy of an allowlist of any old form (PROTOCOL.md
// 10.5) and of an exclude list, nil for none. The warnings say what was left
// out.
func ConvertLegacy(allowlist, excludes []byte, now time.Time) (p *Policy, warnings []string, err error) {
	return nil, nil, errors.New("runtime: not there yet")
}

// ParseExcludes reads an exclude list: one Python regular expression a line.
func ParseExcludes(data []byte) (patterns, warnings []string, err error) {
	return nil, nil, errors.New("runtime: not there yet")
}

// AddExcludes appends the patterns that the policy has not yet and returns how
// many it appended.
func (p *Policy) AddExcludes(patterns []string) int { return 0 }
