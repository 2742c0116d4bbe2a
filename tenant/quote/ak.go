package quote

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/tpmkey"
)

// attestationKey is an AK whose structure has been checked.
type attestationKey struct {
	key        crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey
	algorithm  string           // rsa2048, ecc256, …
	scheme     tpm2.TPMAlgID    // the one scheme that this kind of key may use
	attributes uint32
}

// parseAK reads a TPM2B_PUBLIC of an RSA or ECC key (see [tpmkey.Parse] and
// [tpmkey.Key]).
func parseAK(tpm2b []byte) (attestationKey, error) {
	if len(tpm2b) == 0 {
		return attestationKey{}, errors.New("the registrar holds no AK")
	}
	public, err := tpmkey.Parse(tpm2b)
	if err != nil {
		return attestationKey{}, err
	}
	key, err := tpmkey.Key(public)
	if err != nil {
		return attestationKey{}, err
	}
	ak := attestationKey{key: key, attributes: attributeBits(public)}
	switch key := key.(type) {
	case *rsa.PublicKey:
		ak.algorithm, ak.scheme = fmt.Sprintf("rsa%d", key.N.BitLen()), tpm2.TPMAlgRSASSA
	case *ecdsa.PublicKey:
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
