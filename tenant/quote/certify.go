package quote

import (
	"bytes"
	"crypto/rsa"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/tpmkey"
)

// VerifyCertify says whether a TPM has certified an AK with its IAK
// (TPM2_Certify; PROTOCOL.md 3.4, step 4): both keys are then in one TPM. attest
// is a TPMS_ATTEST, signature a TPMT_SIGNATURE, iak and ak are TPM2B_PUBLIC;
// extraData are the values one of which the TPM has to have been given. Made
// before clocks or boots are known, it is no proof of the present. The error is
// always a *[VerificationError] that names the check:
//
//   - the IAK is a usable key ([CheckAK]);
//   - the signature can be read, its scheme is one of that kind of key (RSASSA,
//     RSAPSS or ECDSA), its hash is known ([CheckSignatureFormat],
//     [CheckScheme], [CheckHashAlg]), and it is the IAK's ([CheckSignature]);
//   - a TPM has made the attestation, of the type certify, and to its last
//     octet ([CheckMagic], [CheckType], [CheckAttest]);
//   - it was made for this purpose ([CheckNonce]);
//   - what it certifies is the AK, by its name ([CheckCertifiedName]).
func VerifyCertify(attest, signature, iak, ak []byte, extraData ...[]byte) error {
	if err := verifyCertify(attest, signature, iak, ak, extraData); err != nil {
		err.Subject = "certificate of the AK by the IAK"
		return err
	}
	return nil
}

func verifyCertify(attest, signature, iak, ak []byte, extraData [][]byte) *VerificationError {
	key, err := parseAK(iak)
	if err != nil {
		return &VerificationError{Check: CheckAK, Err: fmt.Errorf("IAK: %w", err)}
	}
	if failure := key.certified(attest, signature); failure != nil {
		return failure
	}
	if len(attest) < headOctets {
		return &VerificationError{Check: CheckAttest, Err: errShort}
	}
	if magic := binary.BigEndian.Uint32(attest); magic != uint32(tpm2.TPMGeneratedValue) {
		return &VerificationError{Check: CheckMagic, Expected: fmt.Sprintf("%#x", uint32(tpm2.TPMGeneratedValue)), Found: fmt.Sprintf("%#x", magic)}
	}
	if kind := binary.BigEndian.Uint16(attest[4:]); kind != uint16(tpm2.TPMSTAttestCertify) {
		return &VerificationError{Check: CheckType, Expected: fmt.Sprintf("%#x (certify)", uint16(tpm2.TPMSTAttestCertify)), Found: fmt.Sprintf("%#x", kind)}
	}
	extra, name, err := parseCertify(attest)
	if err != nil {
		return &VerificationError{Check: CheckAttest, Err: err}
	}
	asked := false
	for _, one := range extraData {
		asked = asked || len(one) > 0 && bytes.Equal(one, extra)
	}
	if !asked {
		return &VerificationError{Check: CheckNonce, Expected: "the agent's id or its SHA-256", Found: hex.EncodeToString(extra)}
	}
	want, err := nameOf(ak)
	if err != nil {
		return &VerificationError{Check: CheckCertifiedName, Err: fmt.Errorf("AK: %w", err)}
	}
	if !bytes.Equal(want, name) {
		return &VerificationError{Check: CheckCertifiedName, Expected: "the AK's name " + hex.EncodeToString(want), Found: hex.EncodeToString(name)}
	}
	return nil
}

// parseCertify reads a TPMS_ATTEST of type TPM_ST_ATTEST_CERTIFY of which magic
// and type have been checked (TPM 2.0 Part 2, sections 10.12.8 and 10.12.3):
// the caller's data, and the name of the object certified.
func parseCertify(data []byte) (extraData, name []byte, err error) {
	const clockAndFirmware = 8 + 4 + 4 + 1 + 8
	r := &reader{data: data}
	r.take(headOctets)
	r.sized() // qualifiedSigner: bound by the signature, not compared with anything
	extraData = r.sized()
	r.take(clockAndFirmware)
	name = r.sized()
	r.sized() // qualifiedName of the object
	return extraData, name, r.end()
}

// certified says whether the key has signed an attestation, by any scheme of
// its kind.
func (ak attestationKey) certified(attest, data []byte) *VerificationError {
	s, err := parseSignature(data)
	pss := err == nil && s.scheme == tpm2.TPMAlgRSAPSS
	if pss {
		r := &reader{data: data}
		r.u16()
		r.u16()
		s.rsa = r.sized()
		err = r.end()
	}
	if err != nil {
		return &VerificationError{Check: CheckSignatureFormat, Err: err}
	}
	key, isRSA := ak.key.(*rsa.PublicKey)
	if s.scheme != ak.scheme && !(pss && isRSA) {
		return &VerificationError{Check: CheckScheme, Expected: "a scheme of an IAK of type " + ak.algorithm,
			Found: strings.TrimSpace(fmt.Sprintf("%#x %s", uint16(s.scheme), schemeName(s.scheme)))}
	}
	hash, known := hashByID(s.hash)
	if !known {
		return &VerificationError{Check: CheckHashAlg, Expected: "a hash that is known", Found: fmt.Sprintf("%#x", uint16(s.hash))}
	}
	digest := sum(hash.hash, attest)
	if pss {
		err = rsa.VerifyPSS(key, hash.hash, digest, s.rsa, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	} else {
		err = ak.signed(hash.hash, digest, s)
	}
	if err != nil {
		return &VerificationError{Check: CheckSignature, Err: err}
	}
	return nil
}

// nameOf is the name of a key that can be used.
func nameOf(tpm2b []byte) ([]byte, error) {
	if _, err := parseAK(tpm2b); err != nil {
		return nil, err
	}
	public, err := tpmkey.Parse(tpm2b)
	if err != nil {
		return nil, err
	}
	return tpmkey.Name(public)
}
