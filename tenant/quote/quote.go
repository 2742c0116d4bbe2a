// Package quote verifies quotes of a TPM 2.0: that a known AK has signed, just
// now, the values of a machine's registers (PROTOCOL.md sections 5.2 and 6;
// TCG TPM 2.0 Library, Part 2, revision 1.59).
//
// It trusts the AK it is given, which the registrar has bound to an EK by
// credential activation, and nothing of what the agent says. It does not judge
// the registers' values, save PCR 16 (policy/* does), nor the EK (tenant/ek).
//
// Keylime demands of an AK that it is restricted: a TPM then signs nothing
// with it that looks like a quote but is none. The registrar checks that when
// an agent registers; this package accepts any attributes, as upstream's
// tenant and verifier do, and tells them ([Verified.AKAttributes]).
package quote

import "fmt"

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
	// Nonce is the nonce the agent was asked with; empty is refused.
	Nonce string
	// DecodedNonce also accepts the nonce's base64-decoded form (push model).
	DecodedNonce bool
	// AcceptHash, AcceptEnc and AcceptSign list the algorithms the agent may
	// use; nil: not checked. An empty, non-nil list accepts nothing. In
	// AcceptEnc rsa means rsa2048 and ecc means ecc256, and the reverse.
	AcceptHash, AcceptEnc, AcceptSign []string
	// BindTransportKey demands that PCR 16 binds the transport key.
	BindTransportKey bool
	// Clock is the clock of the last accepted quote; nil: all zero.
	Clock *Clock
	// AnyClock does without the check of the clock, for a quote that stands alone
	// (PROTOCOL.md 4.8): a TPM that lost power may not vouch for its clock for an
	// hour, and there is no earlier quote to go back behind.
	AnyClock bool
	// Selection are registers that must be in the quote; more are allowed.
	Selection []int
	// Compressed reads the form of API 1.0: each part zlib-compressed.
	Compressed bool
}

// Verify holds a quote against what is expected. All of these checks are made,
// in this order, and the first that does not pass ends it; the error is always
// a *[VerificationError] that names the check.
//
//   - the quote string has its form and its parts can be decoded;
//   - the reported algorithms are accepted;
//   - the AK is a TPM2B_PUBLIC and nothing else;
//   - the signature is a TPMT_SIGNATURE and nothing else; its scheme is the
//     key's (RSASSA or ECDSA) and the reported one; its hash is the reported one;
//   - the AK has signed the attestation;
//   - the attestation is a TPM's, is a quote, and nothing follows it;
//   - it answers the nonce;
//   - the PCR blob is one and nothing else, speaks of the same registers of
//     the same banks as the attestation, the bank of the signature's hash
//     among them, and its values hash to the digest that was signed;
//   - the clock has not gone back (below), unless any clock will do;
//   - the registers asked for are there, and PCR 16 is the hash, extended into
//     zero, of the transport key's text.
//
// Clock (PROTOCOL.md 6.3): the TPM must call its clock safe; the count of
// resets must not have gone back, nor that of restarts within one reset; and
// unless both counts have changed the time must have advanced. Upstream keeps
// an old baseline in that last case and so stops noticing (appendix C): keep
// [Verified.Clock] as the next baseline always. Upstream also refuses a lower
// count of restarts after a reset, though each reset begins that count anew.
//
// The caller must have drawn the nonce for this one question, and must use the
// values, and the transport key, of the Verified and not of the Untrusted.
func Verify(u Untrusted, e Expect) (Verified, error) {
	p, failure := decode(u.Quote, e.Compressed)
	if failure != nil {
		return Verified{}, failure
	}
	if failure := checkAccepted(u, e); failure != nil {
		return Verified{}, failure
	}
	ak, err := parseAK(e.AK)
	if err != nil {
		return Verified{}, &VerificationError{Check: CheckAK, Err: err}
	}
	hash, scheme, failure := checkSignature(u, ak, p)
	if failure != nil {
		return Verified{}, failure
	}
	a, failure := checkAttest(p.attest)
	if failure != nil {
		return Verified{}, failure
	}
	if failure := checkNonce(a.extraData, e); failure != nil {
		return Verified{}, failure
	}
	pcrs, failure := checkPCRs(a, p.blob, hash)
	if failure != nil {
		return Verified{}, failure
	}
	if !e.AnyClock {
		if failure := checkClock(a.clock, e.Clock); failure != nil {
			return Verified{}, failure
		}
	}
	for _, n := range e.Selection {
		if _, quoted := pcrs[n]; !quoted {
			return Verified{}, &VerificationError{Check: CheckPCRMissing, Expected: fmt.Sprintf("PCR %d", n), Found: "a quote without it"}
		}
	}
	v := Verified{bank: hash.name, pcrs: pcrs, clock: a.clock, firmware: a.firmware,
		akAlgorithm: ak.algorithm, akAttributes: ak.attributes, scheme: scheme}
	if e.BindTransportKey {
		if failure := checkBinding(pcrs, hash.hash, u.TransportKeyPEM); failure != nil {
			return Verified{}, failure
		}
		v.transportKey = u.TransportKeyPEM
	}
	return v, nil
}
