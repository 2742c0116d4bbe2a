package ek

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/keylime/keylime-tenant/tenant/tpmkey"
)

// Public is an endorsement key's public part.
type Public struct {
	// Raw is the TPM2B_PUBLIC that was read.
	Raw []byte
	// PEM is the key as SubjectPublicKeyInfo, as OpenSSL prints it: lines of 64
	// columns and a newline after the last.
	PEM string
	// Key is *rsa.PublicKey or *ecdsa.PublicKey.
	Key crypto.PublicKey
}

// ParsePublic reads a TPM2B_PUBLIC of an RSA key or of an ECC key on P-224,
// P-256, P-384 or P-521. It fails if it is anything else, if bytes follow the
// structure, if the modulus is not of the length announced, or the point is not
// on its curve (see [tpmkey.Parse] and [tpmkey.Key]).
func ParsePublic(tpm2b []byte) (Public, error) {
	if len(tpm2b) == 0 {
		return Public{}, errors.New("the registrar holds no EK")
	}
	public, err := tpmkey.Parse(tpm2b)
	if err != nil {
		return Public{}, fmt.Errorf("EK is %w", err)
	}
	key, err := tpmkey.Key(public)
	if err != nil {
		return Public{}, fmt.Errorf("EK: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Public{}, fmt.Errorf("EK: %w", err)
	}
	return Public{Raw: bytes.Clone(tpm2b), Key: key, PEM: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, nil
}

// Hash is the SHA-256 of the PEM text in hex: the id of an agent that is
// configured with uuid = "hash_ek".
func (p Public) Hash() string {
	digest := sha256.Sum256([]byte(p.PEM))
	return hex.EncodeToString(digest[:])
}

// Algorithm is the kind of the key: rsa2048, ecc384.
func (p Public) Algorithm() string { return keyAlgorithm(p.Key) }
