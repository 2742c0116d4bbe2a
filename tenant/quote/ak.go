package quote

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"
)

// attestationKey is an AK whose structure has been checked.
type attestationKey struct {
	key        crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey
	algorithm  string           // rsa2048, ecc256, …
	scheme     tpm2.TPMAlgID    // the one scheme that this kind of key may use
	attributes uint32
}

// parseAK reads a TPM2B_PUBLIC, and demands that it is written as a TPM would
// write it: go-tpm ignores what follows the structure, inside and outside of
// its length, so the key is written again and compared.
func parseAK(tpm2b []byte) (attestationKey, error) {
	if len(tpm2b) == 0 {
		return attestationKey{}, errors.New("the registrar holds no AK")
	}
	outer, err := tpm2.Unmarshal[tpm2.TPM2BPublic](tpm2b)
	if err != nil {
		return attestationKey{}, fmt.Errorf("not a TPM2B_PUBLIC: %w", err)
	}
	public, err := outer.Contents()
	if err != nil {
		return attestationKey{}, fmt.Errorf("not a TPM2B_PUBLIC: %w", err)
	}
	if !bytes.Equal(tpm2.Marshal(tpm2.New2B(*public)), tpm2b) {
		return attestationKey{}, errors.New("not a TPM2B_PUBLIC alone: more bytes follow the structure")
	}
	key, err := tpm2.Pub(*public)
	if err != nil {
		return attestationKey{}, err
	}
	ak := attestationKey{key: key, attributes: attributeBits(*public)}
	switch key := key.(type) {
	case *rsa.PublicKey:
		parameters, err := public.Parameters.RSADetail()
		if err != nil {
			return attestationKey{}, err
		}
		if key.N.BitLen() != int(parameters.KeyBits) {
			return attestationKey{}, fmt.Errorf("an RSA modulus of %d bits in a key of %d", key.N.BitLen(), parameters.KeyBits)
		}
		ak.algorithm, ak.scheme = fmt.Sprintf("rsa%d", key.N.BitLen()), tpm2.TPMAlgRSASSA
	case *ecdsa.PublicKey:
		if _, err := key.ECDH(); err != nil {
			return attestationKey{}, fmt.Errorf("the point is not on the curve: %w", err)
		}
		ak.algorithm, ak.scheme = fmt.Sprintf("ecc%d", key.Params().BitSize), tpm2.TPMAlgECDSA
	}
	return ak, nil
}

// attributeBits are the object attributes as the 32 bits of a TPMA_OBJECT.
func attributeBits(public tpm2.TPMTPublic) uint32 {
	b := tpm2.Marshal(public.ObjectAttributes)
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// signed says whether the key has signed this digest. The scheme has been
// checked to be the key's.
func (ak attestationKey) signed(hash crypto.Hash, digest []byte, s signature) error {
	switch key := ak.key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, hash, digest, s.rsa)
	case *ecdsa.PublicKey:
		if !ecdsa.Verify(key, digest, new(big.Int).SetBytes(s.r), new(big.Int).SetBytes(s.s)) {
			return errors.New("ECDSA verification failed")
		}
		return nil
	}
	return fmt.Errorf("unsupported key type %T", ak.key)
}
