package quote

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"
)

// transportPCR is the register that binds the transport key (PROTOCOL.md 0.3).
const transportPCR = 16

// checkSignature: steps 3 to 5 of PROTOCOL.md 6.1.
func checkSignature(u Untrusted, ak attestationKey, p parts) (hashAlg, string, *VerificationError) {
	s, err := parseSignature(p.signature)
	if err != nil {
		return hashAlg{}, "", &VerificationError{Check: CheckSignatureFormat, Err: err}
	}
	scheme := schemeName(s.scheme)
	if s.scheme != ak.scheme {
		return hashAlg{}, "", &VerificationError{Check: CheckScheme, Expected: schemeName(ak.scheme) + " for an AK of type " + ak.algorithm,
			Found: strings.TrimSpace(fmt.Sprintf("%#x %s", uint16(s.scheme), scheme))}
	}
	if u.SignAlg != "" && u.SignAlg != scheme {
		return hashAlg{}, "", &VerificationError{Check: CheckSignAlg, Expected: shown(u.SignAlg) + " as reported", Found: scheme}
	}
	hash, known := hashByID(s.hash)
	if !known {
		return hashAlg{}, "", &VerificationError{Check: CheckHashAlg, Expected: shown(u.HashAlg) + " as reported", Found: fmt.Sprintf("%#x", uint16(s.hash))}
	}
	if hash.name != u.HashAlg {
		return hashAlg{}, "", &VerificationError{Check: CheckHashAlg, Expected: shown(u.HashAlg) + " as reported", Found: hash.name}
	}
	if err := ak.signed(hash.hash, sum(hash.hash, p.attest), s); err != nil {
		return hashAlg{}, "", &VerificationError{Check: CheckSignature, Err: err}
	}
	return hash, scheme, nil
}

// checkAttest: step 6, and that the structure is a quote's to its last octet.
func checkAttest(data []byte) (attestation, *VerificationError) {
	if len(data) < headOctets {
		return attestation{}, &VerificationError{Check: CheckAttest, Err: errShort}
	}
	if magic := binary.BigEndian.Uint32(data); magic != uint32(tpm2.TPMGeneratedValue) {
		return attestation{}, &VerificationError{Check: CheckMagic, Expected: fmt.Sprintf("%#x", uint32(tpm2.TPMGeneratedValue)), Found: fmt.Sprintf("%#x", magic)}
	}
	if kind := binary.BigEndian.Uint16(data[4:]); kind != uint16(tpm2.TPMSTAttestQuote) {
		return attestation{}, &VerificationError{Check: CheckType, Expected: fmt.Sprintf("%#x (quote)", uint16(tpm2.TPMSTAttestQuote)), Found: fmt.Sprintf("%#x", kind)}
	}
	a, err := parseAttest(data)
	if err != nil {
		return attestation{}, &VerificationError{Check: CheckAttest, Err: err}
	}
	return a, nil
}

// checkNonce: step 7.
func checkNonce(extraData []byte, e Expect) *VerificationError {
	if e.Nonce != "" && string(extraData) == e.Nonce {
		return nil
	}
	if e.Nonce != "" && e.DecodedNonce {
		if raw, err := base64.StdEncoding.DecodeString(e.Nonce); err == nil && len(raw) > 0 && bytes.Equal(raw, extraData) {
			return nil
		}
	}
	return &VerificationError{Check: CheckNonce, Expected: shown(e.Nonce), Found: shown(string(extraData))}
}

// checkPCRs: step 8, and that blob and attestation select the same registers.
// It returns the values of the bank of the signature's hash.
func checkPCRs(a attestation, data []byte, hash hashAlg) (map[int][]byte, *VerificationError) {
	blob, err := ParsePCRBlob(data)
	if err != nil {
		return nil, &VerificationError{Check: CheckBlob, Err: err}
	}
	if signed, sent := describeQuoted(a.selections), describe(blob.Selections); signed != sent {
		return nil, &VerificationError{Check: CheckSelection, Expected: signed + " as signed", Found: sent}
	}
	digest := hash.hash.New()
	var pcrs map[int][]byte
	next := 0
	for _, s := range blob.Selections {
		values := make(map[int][]byte, len(s.PCRs))
		for _, n := range s.PCRs {
			digest.Write(blob.Values[next]) // there is one for each: ParsePCRBlob has looked
			values[n] = blob.Values[next]
			next++
		}
		if s.Bank == hash.name && pcrs == nil {
			pcrs = values
		}
	}
	if pcrs == nil {
		return nil, &VerificationError{Check: CheckBank, Expected: "registers of bank " + hash.name + ", the signature's hash", Found: describe(blob.Selections)}
	}
	if got := digest.Sum(nil); !bytes.Equal(got, a.pcrDigest) {
		return nil, &VerificationError{Check: CheckPCRDigest, Expected: hex.EncodeToString(a.pcrDigest) + " as signed", Found: hex.EncodeToString(got)}
	}
	return pcrs, nil
}

// checkClock: step 9; see [Verify].
func checkClock(now Clock, last *Clock) *VerificationError {
	before := Clock{Safe: true}
	if last != nil {
		before = *last
	}
	counts := func(c Clock) string {
		return fmt.Sprintf("clock %d ms, %d resets, %d restarts", c.Clock, c.ResetCount, c.RestartCount)
	}
	sameReset := now.ResetCount == before.ResetCount
	sameRestart := now.RestartCount == before.RestartCount
	switch {
	case !now.Safe:
		return &VerificationError{Check: CheckClockSafe, Expected: "a clock that the TPM calls safe", Found: "one that may have gone back"}
	case now.ResetCount < before.ResetCount:
		return &VerificationError{Check: CheckClockReset, Expected: "no fewer resets than at " + counts(before), Found: counts(now)}
	case sameReset && now.RestartCount < before.RestartCount:
		return &VerificationError{Check: CheckClockRestart, Expected: "no fewer restarts than at " + counts(before), Found: counts(now)}
	case (sameReset || sameRestart) && now.Clock <= before.Clock:
		return &VerificationError{Check: CheckClockTime, Expected: "later than " + counts(before), Found: counts(now)}
	}
	return nil
}

// checkBinding: PCR 16 is H(zero || H(transport key)) (PROTOCOL.md 5.4).
func checkBinding(pcrs map[int][]byte, hash crypto.Hash, transportKeyPEM string) *VerificationError {
	if transportKeyPEM == "" {
		return &VerificationError{Check: CheckTransportKey, Expected: "the agent's transport key", Found: "none"}
	}
	value, quoted := pcrs[transportPCR]
	if !quoted {
		return &VerificationError{Check: CheckPCR16Missing, Expected: "PCR 16, which binds the transport key", Found: "a quote without it"}
	}
	want := sum(hash, append(make([]byte, hash.Size()), sum(hash, []byte(transportKeyPEM))...))
	if !bytes.Equal(want, value) {
		return &VerificationError{Check: CheckPCR16Binding, Expected: hex.EncodeToString(want) + " for this transport key", Found: hex.EncodeToString(value)}
	}
	return nil
}

func sum(hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}
