package runtime

import (
	"fmt"
	"slices"

	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

// Sections of a policy, for [Change.Section].
const (
	SectionDigests  = "digests"
	SectionExcludes = "excludes"
	SectionKeyrings = "keyrings"
	SectionBuffers  = "ima-buf"
	SectionIgnored  = "ignored_keyrings"
	SectionLogHash  = "log_hash_alg"
	SectionKeys     = "verification-keys"
	SectionRelease  = "release"
)

// Change is one difference between two policies.
type Change struct {
	// Section is the part of the policy that differs.
	Section string `json:"section"`
	// Name is the path, keyring or buffer; "" where the section has no names.
	Name string `json:"name,omitempty"`
	// Added and Removed are digests, patterns, key ids or values.
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// Diff lists what differs between two policies: per section the names of the
// old one in its order, then those that are new. Order and repetition within
// lists, meta and unknown members count for nothing.
func Diff(from, to *Policy) []Change {
	var changes []Change
	add := func(section, name string, old, now []string) {
		c := Change{Section: section, Name: name, Added: without(now, old), Removed: without(old, now)}
		if len(c.Added)+len(c.Removed) > 0 {
			changes = append(changes, c)
		}
	}
	value := func(section, old, now string) {
		if old != now {
			changes = append(changes, Change{Section: section, Added: []string{now}, Removed: []string{old}})
		}
	}
	maps := func(section string, old, now *DigestMap) {
		for name, digests := range old.All() {
			add(section, name, digests, now.Get(name))
		}
		for name, digests := range now.All() {
			if !old.Has(name) {
				add(section, name, nil, digests)
			}
		}
	}
	maps(SectionDigests, &from.Digests, &to.Digests)
	add(SectionExcludes, "", from.Excludes, to.Excludes)
	maps(SectionKeyrings, &from.Keyrings, &to.Keyrings)
	maps(SectionBuffers, &from.IMABuf, &to.IMABuf)
	add(SectionIgnored, "", from.IMA.IgnoredKeyrings, to.IMA.IgnoredKeyrings)
	value(SectionLogHash, from.IMA.LogHashAlg, to.IMA.LogHashAlg)
	add(SectionKeys, "", keyNames(from.VerificationKeys), keyNames(to.VerificationKeys))
	value(SectionRelease, string(from.Release), string(to.Release))
	return changes
}

// without returns the elements of a that are not in b, each once.
func without(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// keyNames names the keys of a keyring; one that cannot be read is its text.
func keyNames(text string) []string {
	k, _, err := parseKeyring(text)
	if err != nil {
		return []string{text}
	}
	var names []string
	for _, id := range k.IDs() {
		names = append(names, fmt.Sprintf("%08x (%s)", id, ima.KeyType(k.Key(id))))
	}
	return names
}

// MergeError tells why policies cannot be merged.
type MergeError struct {
	// Index is the position of the policy that does not fit, from 0.
	Index int
	// Reason says why.
	Reason string
	// Err is an underlying error, or nil.
	Err error
}

func (e *MergeError) Error() string {
	s := fmt.Sprintf("policy %d: %s", e.Index+1, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *MergeError) Unwrap() error { return e.Err }

// Merge returns a policy that accepts what any of the given ones accepts:
// digests, excludes, keyrings, buffers, ignored keyrings and verification keys
// of all. Everything else is the first one's; [Policy.Stamp] it. Merging joins
// excludes, so they are checked together.
//
// Errors: *[MergeError] for another log_hash_alg than the first's or a keyring
// that cannot be read, *[ExcludeError].
func Merge(policies ...*Policy) (*Policy, error) {
	if len(policies) == 0 {
		return Empty(), nil
	}
	merged := policies[0].Clone()
	for i, p := range policies[1:] {
		if err := merged.merge(p); err != nil {
			err.Index = i + 1
			return nil, err
		}
	}
	if err := checkExcludes(merged.Excludes, nil); err != nil {
		return nil, err
	}
	return merged, nil
}

func (p *Policy) merge(other *Policy) *MergeError {
	if p.IMA.LogHashAlg != other.IMA.LogHashAlg {
		return &MergeError{Reason: fmt.Sprintf("log_hash_alg is %q, that of the first policy %q", other.IMA.LogHashAlg, p.IMA.LogHashAlg)}
	}
	p.Digests.Merge(&other.Digests)
	p.Keyrings.Merge(&other.Keyrings)
	p.IMABuf.Merge(&other.IMABuf)
	p.AddExcludes(other.Excludes)
	for _, name := range other.IMA.IgnoredKeyrings {
		if !slices.Contains(p.IMA.IgnoredKeyrings, name) {
			p.IMA.IgnoredKeyrings = append(p.IMA.IgnoredKeyrings, name)
		}
	}
	if other.VerificationKeys == "" || other.VerificationKeys == p.VerificationKeys {
		return nil
	}
	ring, err := ParseKeyring(other.VerificationKeys)
	if err == nil {
		err = p.AddKeys(ring)
	}
	if err != nil {
		return &MergeError{Reason: "verification keys cannot be read", Err: err}
	}
	return nil
}

// Merge adds all digests of another map.
func (m *DigestMap) Merge(other *DigestMap) {
	for name, digests := range other.All() {
		if !m.Has(name) {
			m.Set(name, slices.Clone(digests))
			continue
		}
		for _, d := range digests {
			m.Add(name, d)
		}
	}
}

// AddKeys adds keys to the policy's verification keys. Errors as of
// [ParseKeyring], for the policy's present ones.
func (p *Policy) AddKeys(ring *Keyring) error {
	if ring.Len() == 0 {
		return nil
	}
	present, err := ParseKeyring(p.VerificationKeys)
	if err != nil {
		return err
	}
	present.Merge(ring)
	p.VerificationKeys = present.String()
	return nil
}
