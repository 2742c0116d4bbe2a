// Package dsse signs runtime policies and checks signed ones: DSSE envelopes as
// Keylime writes and reads them (PROTOCOL.md 10.4).
package dsse

import (
	"crypto/ecdsa"
	"errors"
	"io"
	"time"
)

// PayloadType is the type of a signed runtime policy.
const PayloadType = "application/vnd.keylime+json"

// IsEnvelope tells whether data is a JSON object with a "payload" that is not
// empty, which is how Keylime tells a signed policy from a plain one.
func IsEnvelope(data []byte) bool { return false }

// Payload returns the payload of an envelope without checking any signature.
func Payload(envelope []byte) ([]byte, error) { return nil, errors.New("dsse: not there yet") }

// Verify checks an envelope against an EC public key in PEM and returns the
// payload.
func Verify(envelope, keyPEM []byte) ([]byte, error) { return nil, errors.New("dsse: not there yet") }

// SignECDSA signs the payload with the ecdsa backend.
func SignECDSA(payload []byte, key *ecdsa.PrivateKey, random io.Reader) ([]byte, error) {
	return nil, errors.New("dsse: not there yet")
}

// SignX509 signs the payload with the x509 backend: it also makes the
// self-signed certificate that becomes the key id.
func SignX509(payload []byte, key *ecdsa.PrivateKey, random io.Reader, now time.Time) (envelope, certPEM []byte, err error) {
	return nil, nil, errors.New("dsse: not there yet")
}

// NewKey makes a P-256 key and its PEM form (SEC 1), which is secret.
func NewKey(random io.Reader) (*ecdsa.PrivateKey, []byte, error) {
	return nil, nil, errors.New("dsse: not there yet")
}

// ParsePrivateKey reads an unencrypted EC private key in PEM (SEC 1 or PKCS #8).
func ParsePrivateKey(keyPEM []byte) (*ecdsa.PrivateKey, error) {
	return nil, errors.New("dsse: not there yet")
}
