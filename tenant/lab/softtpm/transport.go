package softtpm

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
)

// transportBits is the size of an agent's transport key (PROTOCOL.md 5.4).
const transportBits = 2048

// NewTransportKey makes an agent's transport key (NK).
func NewTransportKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, transportBits) }

// TransportKeyPEM is the key's public part as agents send it and hash it into
// PCR 16: SubjectPublicKeyInfo in PEM, lines of 64 columns, with the newline
// after the last line.
func TransportKeyPEM(key *rsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}
