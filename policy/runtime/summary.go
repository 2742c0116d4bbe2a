package runtime

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

// Summary is a policy in numbers, for people.
type Summary struct {
	Version         int            `json:"version"`
	Generator       string         `json:"generator"`
	Timestamp       string         `json:"timestamp,omitempty"`
	Files           int            `json:"files"`
	FileDigests     int            `json:"file_digests"`
	Algorithms      map[string]int `json:"algorithms"`
	BootAggregate   []string       `json:"boot_aggregate,omitempty"`
	Excludes        []string       `json:"excludes"`
	Keyrings        map[string]int `json:"keyrings"`
	IgnoredKeyrings []string       `json:"ignored_keyrings"`
	Buffers         map[string]int `json:"buffers"`
	LogHashAlg      string         `json:"log_hash_alg"`
	Keys            []KeyInfo      `json:"verification_keys"`
}

// KeyInfo names one key of a keyring.
type KeyInfo struct {
	// ID is the key id as file signatures name it, eight hex digits.
	ID string `json:"id"`
	// Type is "RSA 2048", "EC P-256".
	Type string `json:"type"`
}

// generators are the makers of policies in words, by [Meta.Generator].
var generators = []string{"unknown", "built-in empty policy", "converted from an older policy", "made by a tool or from an allowlist"}

// Summarize counts a policy. Files do not include boot_aggregate.
func (p *Policy) Summarize() Summary {
	s := Summary{Version: p.Meta.Version, Generator: generators[0], Timestamp: p.Meta.Timestamp, Algorithms: map[string]int{}, Excludes: slices.Clone(p.Excludes),
		Keyrings: map[string]int{}, IgnoredKeyrings: slices.Clone(p.IMA.IgnoredKeyrings), Buffers: map[string]int{}, LogHashAlg: p.IMA.LogHashAlg, Keys: []KeyInfo{}}
	if g := p.Meta.Generator; g > 0 && g < len(generators) {
		s.Generator = generators[g]
	}
	for path, digests := range p.Digests.All() {
		if path == "boot_aggregate" {
			s.BootAggregate = slices.Clone(digests)
			continue
		}
		s.Files++
		s.FileDigests += len(digests)
		for _, d := range digests {
			s.Algorithms[algorithm(d)]++
		}
	}
	for name, digests := range p.Keyrings.All() {
		s.Keyrings[name] = len(digests)
	}
	for name, digests := range p.IMABuf.All() {
		s.Buffers[name] = len(digests)
	}
	if k, _, err := parseKeyring(p.VerificationKeys); err == nil {
		for _, id := range k.IDs() {
			s.Keys = append(s.Keys, KeyInfo{fmt.Sprintf("%08x", id), ima.KeyType(k.Key(id))})
		}
	}
	return s
}

// algorithm names the hash of a digest by its length; 64 digits may be SM3 too.
func algorithm(digest string) string {
	if name, ok := map[int]string{40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}[len(digest)]; ok {
		return name
	}
	return fmt.Sprintf("%d digits", len(digest))
}

// Words describes the policy in sentences, one an element, without periods.
func (p *Policy) Words() []string {
	s := p.Summarize()
	made := fmt.Sprintf("Runtime policy, format version %d, %s", s.Version, s.Generator)
	if s.Timestamp != "" {
		made += ", " + s.Timestamp
	}
	words := []string{made}
	var algorithms []string
	for _, name := range slices.Sorted(maps.Keys(s.Algorithms)) {
		algorithms = append(algorithms, fmt.Sprintf("%d %s", s.Algorithms[name], name))
	}
	files := fmt.Sprintf("Allows %s with %s", count(s.Files, "file"), count(s.FileDigests, "digest"))
	if len(algorithms) > 0 {
		files += " (" + strings.Join(algorithms, ", ") + ")"
	}
	words = append(words, files)
	switch {
	case len(s.BootAggregate) > 0:
		words = append(words, "Allows boot_aggregate "+strings.Join(s.BootAggregate, ", "))
	default:
		words = append(words, "Holds no boot_aggregate: it is taken from the boot log if that is quoted")
	}
	if len(s.Excludes) == 0 {
		words = append(words, "Excludes no path")
	}
	for _, pattern := range s.Excludes {
		words = append(words, fmt.Sprintf("Does not check paths that begin with a match of %s", pattern))
	}
	words = append(words, named("Allows %s to be added to keyring %s", "key", s.Keyrings)...)
	for _, name := range s.IgnoredKeyrings {
		if name == "*" {
			name = "any name"
		}
		words = append(words, "Does not check keys added to keyrings of "+name)
	}
	words = append(words, named("Allows %s of buffer %s", "content", s.Buffers)...)
	for _, k := range s.Keys {
		words = append(words, fmt.Sprintf("Accepts files signed with key %s (%s)", k.ID, k.Type))
	}
	return append(words, "Template hashes of the list are "+strings.ToUpper(s.LogHashAlg))
}

func named(format, noun string, counts map[string]int) []string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf(format, count(counts[name], noun), name))
	}
	return words
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
