package softtpm

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// CertifyAK is TPM2_Certify of the AK by the AK (TPM 2.0 Part 3, section 18.2):
// TPMS_ATTEST and TPMT_SIGNATURE, in which the key vouches for itself with the
// qualifying data, and so proves to whoever has drawn those that this TPM
// possesses it. It fails for qualifying data of more than 66 bytes.
func (t *TPM) CertifyAK(qualifying []byte) (attest, sig []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(qualifying) > maxNonce {
		return nil, nil, fmt.Errorf("qualifying data of %d bytes are too long: at most %d fit", len(qualifying), maxNonce)
	}
	attest = t.certification(qualifying, t.qualifiedName(), t.ak.name, t.qualifiedName())
	sig, err = t.Sign(attest)
	return attest, sig, err
}

// certification is the TPMS_ATTEST in which a key, known by its qualified name,
// vouches for an object.
func (t *TPM) certification(qualifying, signer, name, qualifiedName []byte) []byte {
	return t.says(tpm2.TPMSTAttestCertify, signer, qualifying, tpm2.NewTPMUAttest(tpm2.TPMSTAttestCertify, &tpm2.TPMSCertifyInfo{
		Name: tpm2.TPM2BName{Buffer: name}, QualifiedName: tpm2.TPM2BName{Buffer: qualifiedName}}))
}

// AKAlg is the kind of the AK, rsa or ecc, and its size in bits.
func (t *TPM) AKAlg() (kind string, bits int) {
	switch key := t.ak.private.Public().(type) {
	case *rsa.PublicKey:
		return "rsa", key.N.BitLen()
	case *ecdsa.PublicKey:
		return "ecc", key.Params().BitSize
	}
	return "", 0 // not reached: newKey makes no other
}
