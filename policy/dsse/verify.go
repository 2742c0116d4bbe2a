package dsse

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
)

// Verify checks an envelope against an EC public key in PEM ("PUBLIC KEY") and
// returns the payload. One signature by the key suffices, whatever key ids the
// envelope names.
//
// Errors: *[Error] with the check that failed. What the payload holds is not
// checked.
func Verify(data, keyPEM []byte) ([]byte, error) {
	key, err := ParsePublicKey(keyPEM)
	if err != nil {
		return nil, err
	}
	return VerifyWith(data, key)
}

// VerifyWith is [Verify] with a key already read.
func VerifyWith(data []byte, key *ecdsa.PublicKey) ([]byte, error) {
	e, payload, err := open(data)
	if err != nil {
		return nil, err
	}
	if e.PayloadType == nil {
		return nil, &Error{Check: CheckEnvelope, Reason: "envelope has no payloadType"}
	}
	// The type is signed, so this keeps a document of another kind, signed with
	// the same key, from being taken for a policy.
	if *e.PayloadType != PayloadType {
		return nil, &Error{Check: CheckPayloadType, Reason: "payload is of another type than " + PayloadType}
	}
	if len(e.Signatures) == 0 {
		return nil, &Error{Check: CheckSignature, Reason: "envelope holds no signature"}
	}
	digest := sha256.Sum256(pae(*e.PayloadType, payload))
	for _, s := range e.Signatures {
		if s.Sig == nil {
			return nil, &Error{Check: CheckEnvelope, Reason: "a signature has no sig"}
		}
		sig, err := decode(*s.Sig)
		if err != nil {
			return nil, &Error{Check: CheckEnvelope, Reason: "a signature is not base64", Err: err}
		}
		if ecdsa.VerifyASN1(key, digest[:], sig) {
			return payload, nil
		}
	}
	return nil, &Error{Check: CheckSignature, Reason: "no signature in the envelope was made with the key given"}
}

// ParsePublicKey reads the key that upstream's tools and servers take: PEM
// "PUBLIC KEY" (SubjectPublicKeyInfo) of an EC key. Error: *[Error] with
// CheckKey.
func ParsePublicKey(keyPEM []byte) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, &Error{Check: CheckKey, Reason: "not PEM"}
	}
	if block.Type == "CERTIFICATE" {
		return nil, &Error{Check: CheckKey, Reason: "a certificate was given where Keylime wants the public key alone (openssl x509 -pubkey -noout)"}
	}
	if block.Type != "PUBLIC KEY" {
		return nil, &Error{Check: CheckKey, Reason: "PEM block is not a PUBLIC KEY"}
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, &Error{Check: CheckKey, Reason: "public key cannot be read" + unsupported(block.Bytes), Err: err}
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, &Error{Check: CheckKey, Reason: "only elliptic curve keys are supported"}
	}
	return key, nil
}

// CertificateKey reads the EC key of a certificate in PEM, such as the x509
// backend writes. Nothing else in the certificate is looked at. Error: *[Error]
// with CheckKey.
func CertificateKey(certPEM []byte) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, &Error{Check: CheckKey, Reason: "not a certificate in PEM"}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, &Error{Check: CheckKey, Reason: "certificate cannot be read", Err: err}
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, &Error{Check: CheckKey, Reason: "only elliptic curve keys are supported"}
	}
	return key, nil
}
