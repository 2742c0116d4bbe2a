// Package runtime reads, judges with and maintains Keylime runtime policies:
// which files a machine may run, which paths nobody checks, and which keys
// sign files (PROTOCOL.md 10.1, 10.5 and 11).
//
// It trusts nothing it parses: [ParsePolicy] accepts exactly what upstream's
// schema accepts, and an [Evaluator] treats a measurement list as a claim that
// holds only as far as it reproduces PCR 10 of a verified quote. It does not
// verify quotes (tenant/quote), envelopes (policy/dsse) or make policies from
// file trees (policy/runtime/source).
package runtime

import (
	"encoding/json"
)

// Generators of PROTOCOL.md 10.1, for [Meta.Generator].
const (
	GeneratorUnknown    = 0 // nobody knows who wrote it
	GeneratorEmpty      = 1 // the built-in empty policy
	GeneratorCompatible = 2 // an old policy brought to the present version
	GeneratorLegacy     = 3 // made by a tool, or converted from a flat allowlist
)

// Version is the format of runtime policies that this package writes.
const Version = 1

// Policy is a runtime policy. The order of keys and entries as read is kept,
// and so are keys that the format does not know, so that reading and writing
// a policy changes nothing that was not asked for.
//
// A Policy is not safe for concurrent change; an [Evaluator] takes a copy of
// what it needs.
type Policy struct {
	Meta             Meta
	Release          json.Number // free number, an integer >= 0
	Digests          DigestMap   // path -> accepted file digests
	Excludes         []string    // Python regular expressions of unchecked paths
	Keyrings         DigestMap   // keyring -> accepted digests of keys added to it
	IMA              IMA
	IMABuf           DigestMap // name -> accepted digests of other buffers
	VerificationKeys string    // "" or a JSON keyring (PROTOCOL.md 10.4)

	members []member // every top-level key as read, in order
}

// Meta is the "meta" object of a policy.
type Meta struct {
	Version   int
	Generator int
	Timestamp string // "" when absent

	members []member
}

// IMA is the "ima" object of a policy.
type IMA struct {
	IgnoredKeyrings []string // names of keyrings not checked; "*" is all
	LogHashAlg      string   // hash of the template column: sha1, sha256, sha384, sha512

	members []member
}

// member is one key of a JSON object with its value as received.
type member struct {
	key string
	raw json.RawMessage
}
