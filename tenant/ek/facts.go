package ek

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Fingerprint is the SHA-256 of the certificate in hex.
func (c *Certificate) Fingerprint() string {
	digest := sha256.Sum256(c.Raw)
	return hex.EncodeToString(digest[:])
}

// ValidAt says why the certificate is not valid at a time, nil if it is. The
// text continues a sentence: "has expired at ...".
func (c *Certificate) ValidAt(now time.Time) error { return c.validAt(now) }

// MaySign says whether the certificate may vouch for others: the rule of
// crypto/x509 for a trusted root.
func (c *Certificate) MaySign() bool { return c.maySign() }

// KeyHash is the hash by which the certificate's key can be pinned, as
// [Public.KeyHash]. It fails if the key cannot be read.
func (c *Certificate) KeyHash() (string, error) {
	if c.keyErr != nil {
		return "", c.keyErr
	}
	return keyHash(c.key)
}

// Public is the certificate's key without the attributes that a TPM gives it:
// Raw is nil. It fails if the key cannot be read.
func (c *Certificate) Public() (Public, error) {
	if c.keyErr != nil {
		return Public{}, c.keyErr
	}
	return publicOf(c.key)
}

// ReadPublic reads an EK's public key from a file: a TPM2B_PUBLIC, as tpm2-tools
// write it, or PEM of the type PUBLIC KEY, of which Raw is nil then.
func ReadPublic(data []byte) (Public, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return ParsePublic(data)
	}
	if block.Type != "PUBLIC KEY" {
		return Public{}, fmt.Errorf("a PEM block %s is not a public key", shortened(block.Type))
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return Public{}, fmt.Errorf("public key: %w", err)
	}
	if algorithm := keyAlgorithm(key); !strings.HasPrefix(algorithm, "rsa") && !strings.HasPrefix(algorithm, "ecc") {
		return Public{}, errors.New("the public key is not one that a TPM could have")
	}
	return publicOf(key)
}

func publicOf(key crypto.PublicKey) (Public, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Public{}, err
	}
	return Public{Key: key, PEM: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, nil
}

// IsFor says whether the certificate is for an EK.
func (c *Certificate) IsFor(p Public) bool { return c.keyErr == nil && equalKeys(c.key, p.Key) }

// KeyHash is the hash by which an EK can be pinned: the SHA-256 of its public
// key as SubjectPublicKeyInfo in DER, in hex. Unlike [Public.Hash] it is what
// "openssl pkey -pubin -outform DER | sha256sum" prints.
func (p Public) KeyHash() string {
	hash, err := keyHash(p.Key)
	if err != nil { // ParsePublic has encoded the same key before
		return ""
	}
	return hash
}

func keyHash(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(der)
	return hex.EncodeToString(digest[:]), nil
}
