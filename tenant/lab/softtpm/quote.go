package softtpm

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/quote"
)

// maxNonce is the most that extraData may hold: TPM2B_DATA is as long as a
// TPMT_HA of the largest hash (here SHA-512), in octets.
const maxNonce = 2 + 64

// Quote quotes registers of a bank: TPMS_ATTEST, TPMT_SIGNATURE and Keylime's
// PCR blob. Registers may be named in any order, and more than once. The AK
// signs with its own hash, so Keylime accepts only the bank of that name
// ([TPM.HashAlg]); other banks are for tests. It fails if there is no such
// bank or register, or the nonce is longer than 66 bytes.
func (t *TPM) Quote(nonce []byte, pcrs []int, bank string) (attest, sig, blob []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(nonce) > maxNonce {
		return nil, nil, nil, fmt.Errorf("a nonce of %d bytes is too long: at most %d fit", len(nonce), maxNonce)
	}
	b, err := bankByName(bank)
	if err != nil {
		return nil, nil, nil, err
	}
	numbers := slices.Compact(slices.Sorted(slices.Values(pcrs)))
	var values [][]byte
	var selected []uint
	for _, n := range numbers {
		value, _, err := t.register(bank, n)
		if err != nil {
			return nil, nil, nil, err
		}
		values = append(values, *value)
		selected = append(selected, uint(n))
	}
	attest = t.attest(nonce, b, selected, t.hash.sum(values...))
	if sig, err = t.Sign(attest); err != nil {
		return nil, nil, nil, err
	}
	blob, err = quote.EncodePCRBlob(quote.PCRBlob{Selections: []quote.Selection{{Bank: bank, PCRs: numbers}}, Values: values})
	return attest, sig, blob, err
}

// attest is the TPMS_ATTEST of a quote by the AK.
func (t *TPM) attest(nonce []byte, b bank, pcrs []uint, digest []byte) []byte {
	return t.attestation(t.qualifiedName(), nonce, digest,
		tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: b.id, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...)}}})
}

// attestation is the TPMS_ATTEST of a quote (TPM 2.0 Part 3, section 18.4).
func (t *TPM) attestation(signer, nonce, digest []byte, selected tpm2.TPMLPCRSelection) []byte {
	return t.says(tpm2.TPMSTAttestQuote, signer, nonce, tpm2.NewTPMUAttest(tpm2.TPMSTAttestQuote, &tpm2.TPMSQuoteInfo{
		PCRSelect: selected,
		PCRDigest: tpm2.TPM2BDigest{Buffer: digest},
	}))
}

// says is the TPMS_ATTEST of what a key vouches for now.
func (t *TPM) says(kind tpm2.TPMST, signer, extra []byte, attested tpm2.TPMUAttest) []byte {
	return tpm2.Marshal(tpm2.TPMSAttest{
		Magic:           tpm2.TPMGeneratedValue,
		Type:            kind,
		QualifiedSigner: tpm2.TPM2BName{Buffer: signer},
		ExtraData:       tpm2.TPM2BData{Buffer: extra},
		ClockInfo: tpm2.TPMSClockInfo{Clock: t.clock(), ResetCount: t.resetCount,
			RestartCount: t.restartCount, Safe: true},
		FirmwareVersion: firmwareVersion,
		Attested:        attested,
	})
}

// qualifiedName is that of the AK below the EK below the endorsement
// hierarchy (TPM 2.0 Part 1, section 26.5).
func (t *TPM) qualifiedName() []byte {
	ek := qualify(tpm2.PrimaryHandleName(tpm2.TPMRHEndorsement), t.ek)
	return qualify(ek, t.ak)
}

// qualify is nameAlg || H(qualified name of the parent || name).
func qualify(parent []byte, o object) []byte {
	hash, err := o.public.NameAlg.Hash()
	if err != nil {
		return nil // not reached: the object has a name by this hash
	}
	h := hash.New()
	h.Write(parent)
	h.Write(o.name)
	return h.Sum(slices.Clone(o.name[:2]))
}

// Sign signs an attestation with the AK: a TPMT_SIGNATURE. A real TPM signs
// with a restricted key only what it has made itself; this one signs anything,
// so that tests can show that each check of a verifier works by itself.
func (t *TPM) Sign(attest []byte) (sig []byte, err error) { return t.ak.sign(t.hash, attest) }

// sign makes a TPMT_SIGNATURE by RSASSA or ECDSA.
func (o object) sign(hash bank, data []byte) ([]byte, error) {
	digest := hash.sum(data)
	switch key := o.private.(type) {
	case *rsa.PrivateKey:
		raw, err := rsa.SignPKCS1v15(rand.Reader, key, hash.hash, digest)
		if err != nil {
			return nil, err
		}
		return tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgRSASSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgRSASSA,
			&tpm2.TPMSSignatureRSA{Hash: hash.id, Sig: tpm2.TPM2BPublicKeyRSA{Buffer: raw}})}), nil
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			return nil, err
		}
		width := (key.Params().BitSize + 7) / 8
		return tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA,
			&tpm2.TPMSSignatureECC{Hash: hash.id,
				SignatureR: tpm2.TPM2BECCParameter{Buffer: r.FillBytes(make([]byte, width))},
				SignatureS: tpm2.TPM2BECCParameter{Buffer: s.FillBytes(make([]byte, width))}})}), nil
	}
	return nil, fmt.Errorf("the AK has the unknown type %T", o.private)
}

// QuoteString is Quote in the form an agent sends (PROTOCOL.md 5.2).
func (t *TPM) QuoteString(nonce string, pcrs []int, bank string) (string, error) {
	attest, sig, blob, err := t.Quote([]byte(nonce), pcrs, bank)
	if err != nil {
		return "", err
	}
	b64 := base64.StdEncoding.EncodeToString
	return "r" + b64(attest) + ":" + b64(sig) + ":" + b64(blob), nil
}
