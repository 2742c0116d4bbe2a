// Package quote verifies quotes of a TPM 2.0.
package quote

import "errors"

// Untrusted is what an agent says: nothing in it may be believed before
// [Verify] has passed.
type Untrusted struct {
	// Quote is the quote string (PROTOCOL.md 5.2).
	Quote string
	// HashAlg, EncAlg and SignAlg are the algorithms the agent says it uses.
	HashAlg, EncAlg, SignAlg string
	// TransportKeyPEM is the agent's transport key (NK), exactly as received.
	TransportKeyPEM string
}

// Expect is what the quote is held against. It comes from the caller and the
// registrar, never from the agent.
type Expect struct {
	// AK is the TPM2B_PUBLIC of the attestation key that the registrar holds.
	AK []byte
	// Nonce is the nonce the agent was asked with.
	Nonce string
	// DecodedNonce also accepts the nonce's base64-decoded form (push model).
	DecodedNonce bool
	// AcceptHash, AcceptEnc and AcceptSign list the algorithms the agent may
	// use; nil: not checked. An empty, non-nil list accepts nothing.
	AcceptHash, AcceptEnc, AcceptSign []string
	// BindTransportKey demands that PCR 16 binds the transport key.
	BindTransportKey bool
	// Clock is the clock of the last accepted quote; nil: all zero.
	Clock *Clock
	// Selection are registers that must be in the quote; more are allowed.
	Selection []int
	// Compressed reads the form of API 1.0: each part zlib-compressed.
	Compressed bool
}

// Verify holds a quote against what is expected.
func Verify(u Untrusted, e Expect) (Verified, error) {
	return Verified{}, errors.New("not written yet")
}
