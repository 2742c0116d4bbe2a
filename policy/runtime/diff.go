package runtime

import "errors"

// Change is one difference between two policies.
type Change struct {
	// Section is the part of the policy: "digests", "excludes", "keyrings",
	// "ima-buf", "ignored_keyrings", "log_hash_alg", "verification-keys",
	// "release".
	Section string `json:"section"`
	// Name is the path, keyring or buffer; "" where the section has no names.
	Name string `json:"name,omitempty"`
	// Added and Removed are digests, patterns, keys or values.
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// Diff lists what differs between two policies, in the order of the new one,
// then what is gone. Order and repetition within lists, meta and unknown keys
// count for nothing.
func Diff(from, to *Policy) []Change { return nil }

// Merge returns a policy that accepts what any of the given accepts. The
// first policy's log_hash_alg must be that of all.
func Merge(policies ...*Policy) (*Policy, error) { return nil, errors.New("runtime: not there yet") }
