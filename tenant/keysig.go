package tenant

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"time"
)

// The first lines that tell the kinds of keys and signatures apart
// (PROTOCOL.md 10.4).
const (
	pgpKeyBegin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	pgpSigBegin = "-----BEGIN PGP SIGNATURE-----"
	pemKeyBegin = "-----BEGIN PUBLIC KEY-----"
)

// verifyDetached checks a detached signature of a file. The first line of the
// key decides (PROTOCOL.md 10.4): an OpenPGP public key block, or the PEM of an
// EC public key, whose signature is ECDSA with SHA-256 in DER. now is when the
// key must be valid. The error's text is fit for a terminal.
func verifyDetached(content, signature, key []byte, now time.Time) error {
	switch key = bytes.TrimSpace(key); {
	case bytes.HasPrefix(key, []byte(pgpKeyBegin)):
		return verifyOpenPGP(content, signature, key, now)
	case bytes.HasPrefix(key, []byte(pemKeyBegin)):
		return verifyECDSA(content, signature, key)
	}
	return errors.New("the key is neither an OpenPGP public key block nor the PEM of an EC public key")
}

func verifyECDSA(content, signature, key []byte) error {
	block, _ := pem.Decode(key)
	if block == nil {
		return errors.New("the public key cannot be read")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return errors.New("the public key cannot be read")
	}
	ec, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return errors.New("the public key is not an EC key")
	}
	digest := sha256.Sum256(content)
	if !ecdsa.VerifyASN1(ec, digest[:], signature) {
		return errors.New("the ECDSA signature is not good for this key")
	}
	return nil
}
