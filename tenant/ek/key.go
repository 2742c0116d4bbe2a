package ek

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
)

// Object identifiers of keys (RFC 3279, 4055, 5480).
const (
	oidRSA   = "1.2.840.113549.1.1.1"
	oidOAEP  = "1.2.840.113549.1.1.7" // in EK certificates of some makers
	oidPSS   = "1.2.840.113549.1.1.10"
	oidECKey = "1.2.840.10045.2.1"
)

// parseKey reads a SubjectPublicKeyInfo: RSA, whatever the key is meant for,
// or ECC on a NIST curve.
func parseKey(e element) (crypto.PublicKey, error) {
	parts, err := sequence(e, "public key")
	if err != nil {
		return nil, err
	}
	if len(parts) != 2 {
		return nil, fmt.Errorf("public key has %d parts instead of 2", len(parts))
	}
	algorithm, parameters, err := algorithmOf(parts[0])
	if err != nil {
		return nil, err
	}
	key, err := bits(parts[1])
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	switch algorithm {
	case oidRSA, oidOAEP, oidPSS:
		return parseRSA(key)
	case oidECKey:
		return parseECC(parameters, key)
	}
	return nil, fmt.Errorf("public key of the unsupported algorithm %s", algorithm)
}

// algorithmOf reads an AlgorithmIdentifier; parameters is nil if there are none.
func algorithmOf(e element) (algorithm string, parameters *element, err error) {
	parts, err := sequence(e, "algorithm identifier")
	if err != nil {
		return "", nil, err
	}
	if len(parts) == 0 {
		return "", nil, errors.New("algorithm identifier is empty")
	}
	if algorithm, err = oid(parts[0]); err != nil {
		return "", nil, err
	}
	if len(parts) > 1 {
		parameters = &parts[1]
	}
	return algorithm, parameters, nil
}

func parseRSA(data []byte) (crypto.PublicKey, error) {
	parts, err := sequenceOf(data, "RSA key")
	if err != nil {
		return nil, err
	}
	if len(parts) != 2 {
		return nil, fmt.Errorf("RSA key has %d parts instead of 2", len(parts))
	}
	// A modulus without its leading zero octet reads as negative: a known
	// mistake, harmless since both numbers can only be positive.
	n, e := new(big.Int).SetBytes(parts[0].body), new(big.Int).SetBytes(parts[1].body)
	if !parts[0].is(classUniversal, tagInteger) || !parts[1].is(classUniversal, tagInteger) || n.Sign() == 0 || !e.IsInt64() || e.Int64() < 2 || e.Int64() > 1<<31-1 {
		return nil, errors.New("RSA key: modulus or exponent is unusable")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func parseECC(parameters *element, point []byte) (crypto.PublicKey, error) {
	if parameters == nil {
		return nil, errors.New("ECC key names no curve")
	}
	id, err := oid(*parameters)
	if err != nil {
		return nil, errors.New("ECC key does not name its curve")
	}
	var curve elliptic.Curve
	switch id {
	case "1.3.132.0.33":
		curve = elliptic.P224()
	case "1.2.840.10045.3.1.7":
		curve = elliptic.P256()
	case "1.3.132.0.34":
		curve = elliptic.P384()
	case "1.3.132.0.35":
		curve = elliptic.P521()
	case "1.2.840.10045.3.1.1":
		return nil, errors.New("ECC key on the curve P-192, which is too weak and not supported")
	default:
		return nil, fmt.Errorf("ECC key on the unsupported curve %s", id)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, fmt.Errorf("ECC key: %w", err)
	}
	return key, nil
}

// equalKeys says whether two keys are the same.
func equalKeys(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// keyAlgorithm names a key in Keylime's words: rsa2048, ecc256.
func keyAlgorithm(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("rsa%d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return fmt.Sprintf("ecc%d", key.Params().BitSize)
	}
	return "an unsupported key"
}
