// Package tpmkey reads public areas of TPM keys, as registrars and TPMs hand
// them out (TPM2B_PUBLIC; TPM 2.0 Part 2, section 12.2.5; PROTOCOL.md 3.7). It
// judges their form, and not whom they belong to.
package tpmkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Parse reads a TPM2B_PUBLIC, and demands that it is written as a TPM would
// write it: go-tpm ignores what follows the structure, inside and outside of
// its length, so it is written again and compared.
func Parse(tpm2b []byte) (tpm2.TPMTPublic, error) {
	outer, err := tpm2.Unmarshal[tpm2.TPM2BPublic](tpm2b)
	if err != nil {
		return tpm2.TPMTPublic{}, fmt.Errorf("not a TPM2B_PUBLIC: %w", err)
	}
	public, err := outer.Contents()
	if err != nil {
		return tpm2.TPMTPublic{}, fmt.Errorf("not a TPM2B_PUBLIC: %w", err)
	}
	if !bytes.Equal(tpm2.Marshal(tpm2.New2B(*public)), tpm2b) {
		return tpm2.TPMTPublic{}, errors.New("not a TPM2B_PUBLIC alone: more bytes follow the structure")
	}
	return *public, nil
}

// Name is the name of a key: nameAlg and the hash of the public area (TPM 2.0
// Part 1, section 16).
func Name(public tpm2.TPMTPublic) ([]byte, error) {
	name, err := tpm2.ObjectName(&public)
	if err != nil {
		return nil, err
	}
	if len(name.Buffer) == 0 {
		return nil, errors.New("the key has no name")
	}
	return name.Buffer, nil
}

// Key is the key of a public area: *rsa.PublicKey, or *ecdsa.PublicKey on
// P-224, P-256, P-384 or P-521. The modulus has the length that is announced,
// and the point lies on its curve. P-192, which Keylime takes, is in no library
// of ours and is refused.
func Key(public tpm2.TPMTPublic) (crypto.PublicKey, error) {
	if public.Type == tpm2.TPMAlgECC {
		return eccKey(public)
	}
	key, err := tpm2.Pub(public)
	if err != nil {
		return nil, err
	}
	if key, isRSA := key.(*rsa.PublicKey); isRSA {
		parameters, err := public.Parameters.RSADetail()
		if err != nil {
			return nil, err
		}
		if key.N.BitLen() != int(parameters.KeyBits) {
			return nil, fmt.Errorf("an RSA modulus of %d bits in a key of %d", key.N.BitLen(), parameters.KeyBits)
		}
	}
	return key, nil
}

// eccKey reads a point. go-tpm knows no P-224, and does not ask whether a point
// is on its curve.
func eccKey(public tpm2.TPMTPublic) (crypto.PublicKey, error) {
	parameters, err := public.Parameters.ECCDetail()
	if err != nil {
		return nil, err
	}
	point, err := public.Unique.ECC()
	if err != nil {
		return nil, err
	}
	curve, err := curveOf(parameters.CurveID)
	if err != nil {
		return nil, err
	}
	width := (curve.Params().BitSize + 7) / 8
	x, y := point.X.Buffer, point.Y.Buffer
	if len(x) > width || len(y) > width {
		return nil, errors.New("the point is not on the curve: its coordinates are too long")
	}
	encoded := make([]byte, 1+2*width)
	encoded[0] = 4 // uncompressed (SEC 1, section 2.3.3)
	copy(encoded[1+width-len(x):], x)
	copy(encoded[1+2*width-len(y):], y)
	key, err := ecdsa.ParseUncompressedPublicKey(curve, encoded)
	if err != nil {
		return nil, fmt.Errorf("the point is not on the curve: %w", err)
	}
	return key, nil
}

func curveOf(id tpm2.TPMECCCurve) (elliptic.Curve, error) {
	const known = "P-224, P-256, P-384 and P-521 are"
	switch id {
	case tpm2.TPMECCNistP192:
		return nil, errors.New("ECC keys on P-192 are too weak and not supported: " + known)
	case tpm2.TPMECCNistP224:
		return elliptic.P224(), nil
	case tpm2.TPMECCNistP256:
		return elliptic.P256(), nil
	case tpm2.TPMECCNistP384:
		return elliptic.P384(), nil
	case tpm2.TPMECCNistP521:
		return elliptic.P521(), nil
	}
	return nil, fmt.Errorf("ECC keys on the curve %#04x are not supported: %s", uint16(id), known)
}
