package ek

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha1"   // the hashes of signatures
	_ "crypto/sha256" //
	_ "crypto/sha512" //
	"errors"
	"fmt"
)

// signing is how a certificate was signed.
type signing struct {
	hash crypto.Hash
	kind signingKind
}

type signingKind int

const (
	pkcs1 signingKind = iota + 1
	pss
	ecdsaKind
)

// errWeak: a signature whose hash no longer proves anything.
var errWeak = errors.New("it is signed with SHA-1, which proves too little")

// parseSigning reads a signature's AlgorithmIdentifier (RFC 3279, 4055, 5758).
func parseSigning(e element) (signing, error) {
	id, parameters, err := algorithmOf(e)
	if err != nil {
		return signing{}, err
	}
	switch id {
	case "1.2.840.113549.1.1.5":
		return signing{crypto.SHA1, pkcs1}, nil
	case "1.2.840.113549.1.1.14":
		return signing{crypto.SHA224, pkcs1}, nil
	case "1.2.840.113549.1.1.11":
		return signing{crypto.SHA256, pkcs1}, nil
	case "1.2.840.113549.1.1.12":
		return signing{crypto.SHA384, pkcs1}, nil
	case "1.2.840.113549.1.1.13":
		return signing{crypto.SHA512, pkcs1}, nil
	case oidPSS:
		hash, err := pssHash(parameters)
		return signing{hash, pss}, err
	case "1.2.840.10045.4.1":
		return signing{crypto.SHA1, ecdsaKind}, nil
	case "1.2.840.10045.4.3.1":
		return signing{crypto.SHA224, ecdsaKind}, nil
	case "1.2.840.10045.4.3.2":
		return signing{crypto.SHA256, ecdsaKind}, nil
	case "1.2.840.10045.4.3.3":
		return signing{crypto.SHA384, ecdsaKind}, nil
	case "1.2.840.10045.4.3.4":
		return signing{crypto.SHA512, ecdsaKind}, nil
	}
	return signing{}, fmt.Errorf("unsupported signature algorithm %s", id)
}

// pssHash reads RSASSA-PSS-params (RFC 4055, section 3.1): the hash, which the
// mask generation must use as well.
func pssHash(parameters *element) (crypto.Hash, error) {
	hash, mask := crypto.SHA1, crypto.SHA1 // the defaults
	if parameters == nil {
		return hash, nil
	}
	fields, err := sequence(*parameters, "PSS parameters")
	if err != nil {
		return 0, err
	}
	for _, field := range fields {
		if field.class != classContext {
			return 0, errors.New("PSS parameters: an unknown field")
		}
		inner, _, err := readElement(field.body)
		if err != nil {
			return 0, fmt.Errorf("PSS parameters: %w", err)
		}
		switch field.tag {
		case 0:
			hash, err = hashOf(inner)
		case 1:
			var generator string
			var nested *element
			generator, nested, err = algorithmOf(inner)
			if err == nil && (generator != "1.2.840.113549.1.1.8" || nested == nil) {
				err = errors.New("unsupported mask generation")
			}
			if err == nil {
				mask, err = hashOf(*nested)
			}
		}
		if err != nil {
			return 0, fmt.Errorf("PSS parameters: %w", err)
		}
	}
	if hash != mask {
		return 0, errors.New("PSS parameters: two different hashes")
	}
	return hash, nil
}

func hashOf(e element) (crypto.Hash, error) {
	id, _, err := algorithmOf(e)
	if err != nil {
		return 0, err
	}
	switch id {
	case "1.3.14.3.2.26":
		return crypto.SHA1, nil
	case "2.16.840.1.101.3.4.2.4":
		return crypto.SHA224, nil
	case "2.16.840.1.101.3.4.2.1":
		return crypto.SHA256, nil
	case "2.16.840.1.101.3.4.2.2":
		return crypto.SHA384, nil
	case "2.16.840.1.101.3.4.2.3":
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("unsupported hash %s", id)
}

// signedBy says whether key has signed the certificate. SHA-1 counts only if
// weak is allowed.
func (c *Certificate) signedBy(key crypto.PublicKey, weak bool) error {
	s := c.signing
	if c.signingErr != nil {
		return c.signingErr
	}
	if s.hash == crypto.SHA1 && !weak {
		return errWeak
	}
	h := s.hash.New()
	h.Write(c.tbs)
	digest := h.Sum(nil)
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch s.kind {
		case pkcs1:
			return rsa.VerifyPKCS1v15(key, s.hash, digest, c.signature)
		case pss:
			return rsa.VerifyPSS(key, s.hash, digest, c.signature, nil)
		}
	case *ecdsa.PublicKey:
		if s.kind == ecdsaKind {
			return verifyECDSA(key, digest, c.signature)
		}
	}
	return fmt.Errorf("the signature's algorithm does not belong to the issuer's key (%s)", keyAlgorithm(key))
}

// verifyECDSA reads Ecdsa-Sig-Value as leniently as the rest.
func verifyECDSA(key *ecdsa.PublicKey, digest, signature []byte) error {
	parts, err := sequenceOf(signature, "ECDSA signature")
	if err != nil {
		return err
	}
	if len(parts) != 2 {
		return errors.New("ECDSA signature has not two parts")
	}
	r, err := integer(parts[0])
	if err != nil {
		return err
	}
	s, err := integer(parts[1])
	if err != nil {
		return err
	}
	if !ecdsa.Verify(key, digest, r, s) {
		return errors.New("ECDSA verification failed")
	}
	return nil
}
