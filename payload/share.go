package payload

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// minTransportBits is the smallest transport key that is used; agents make
// RSA-2048 (PROTOCOL.md 5.4).
const minTransportBits = 2048

// maxTransportBits is the largest one, OpenSSL's limit: what an agent has chosen
// must not make us compute for hours, which no interrupt would end.
const maxTransportBits = 16384

// SealShare encrypts U or V to the transport key of an agent: base64 of
// RSA-OAEP with SHA-1 and MGF1-SHA-1, without label (PROTOCOL.md 7.1). SHA-1 is
// what agents speak; in OAEP its collisions do no harm. random nil means
// crypto/rand.
//
// The caller must have verified that the key is the agent's. Errors are
// *[Error] of kind BadKeyLength, BadTransportKey or Unsealable.
func SealShare(share Secret, transportKeyPEM string, random io.Reader) (sealedB64 string, err error) {
	if err := checkLength(share); err != nil {
		return "", err
	}
	key, err := parseTransportKey(transportKeyPEM)
	if err != nil {
		return "", err
	}
	if random == nil {
		random = rand.Reader
	}
	sealed, err := rsa.EncryptOAEP(sha1.New(), random, key, share.Bytes(), nil)
	if err != nil {
		return "", &Error{Kind: Unsealable, Cause: "encrypting a key share to the transport key", Err: err}
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// OpenShare decrypts what [SealShare] has made, with the agent's private
// transport key. Errors are *[Error] of kind NotBase64, NotAuthentic or
// BadKeyLength.
func OpenShare(key *rsa.PrivateKey, sealedB64 string) (Secret, error) {
	sealed, err := base64.StdEncoding.DecodeString(sealedB64)
	if err != nil {
		return Secret{}, &Error{Kind: NotBase64, Cause: "the encrypted key share is not base64", Err: err}
	}
	share, err := rsa.DecryptOAEP(sha1.New(), nil, key, sealed, nil)
	if err != nil {
		return Secret{}, &Error{Kind: NotAuthentic, Cause: "the key share was encrypted to another key, or changed since", Err: err}
	}
	secret := NewSecret(share)
	if err := checkLength(secret); err != nil {
		return Secret{}, err
	}
	return secret, nil
}

func parseTransportKey(text string) (*rsa.PublicKey, error) {
	bad := func(cause string, err error) error {
		return &Error{Kind: BadTransportKey, Cause: "the agent's transport key: " + cause, Err: err}
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, bad("not PEM", nil)
	}
	if block.Type != "PUBLIC KEY" {
		return nil, bad("PEM of another kind", errors.New(`"PUBLIC KEY" is wanted`))
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, bad("not a public key", err)
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, bad("not an RSA key", nil)
	}
	switch bits := key.N.BitLen(); {
	case bits < minTransportBits:
		return nil, bad(fmt.Sprintf("%d bits are too few", bits), nil)
	case bits > maxTransportBits:
		return nil, bad(fmt.Sprintf("%d bits are too many", bits), nil)
	}
	return key, nil
}
