package dsse

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"time"
)

// SignECDSA signs the payload as upstream's ecdsa backend does: the key id is
// the SHA-256, in hex, of the public key in PEM. The envelope is one line
// without a newline. Error: *[Error] with CheckKey.
func SignECDSA(payload []byte, key *ecdsa.PrivateKey, random io.Reader) ([]byte, error) {
	public, err := PublicPEM(key)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(public)
	return sign(payload, hex.EncodeToString(id[:]), key, random)
}

// SignX509 signs the payload as upstream's x509 backend does: it also makes a
// self-signed certificate, valid from a day before now for 30 days after it,
// whose PEM in base64 is the key id. Error: *[Error] with CheckKey.
func SignX509(payload []byte, key *ecdsa.PrivateKey, random io.Reader, now time.Time) (envelope, certPEM []byte, err error) {
	certPEM, err = certificate(key, random, now)
	if err != nil {
		return nil, nil, err
	}
	envelope, err = sign(payload, base64.StdEncoding.EncodeToString(certPEM), key, random)
	if err != nil {
		return nil, nil, err
	}
	return envelope, certPEM, nil
}

func sign(payload []byte, keyID string, key *ecdsa.PrivateKey, random io.Reader) ([]byte, error) {
	digest := sha256.Sum256(pae(PayloadType, payload))
	sig, err := ecdsa.SignASN1(random, key, digest[:])
	if err != nil {
		return nil, &Error{Check: CheckKey, Reason: "key does not sign", Err: err}
	}
	return encode(payload, keyID, sig), nil
}

// certificate makes the certificate of the x509 backend, with upstream's names.
func certificate(key *ecdsa.PrivateKey, random io.Reader, now time.Time) ([]byte, error) {
	serial := make([]byte, 20)
	if _, err := io.ReadFull(random, serial); err != nil {
		return nil, &Error{Check: CheckKey, Reason: "no random serial number", Err: err}
	}
	serial[0] = serial[0]&0x7f | 0x40 // positive, and as long as it can be
	const name, day = "dsse_lib", 24 * time.Hour
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-day),
		NotAfter:              now.Add(30 * day),
		DNSNames:              []string{name},
		BasicConstraintsValid: true,
		SignatureAlgorithm:    x509.ECDSAWithSHA256,
	}
	der, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return nil, &Error{Check: CheckKey, Reason: "certificate cannot be made", Err: err}
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// NewKey makes a P-256 key, as upstream's signing tool does. The second value
// is its PEM form (SEC 1, "EC PRIVATE KEY"), which is a secret: write it with
// mode 0600, show it to nobody. Error: *[Error] with CheckKey.
func NewKey(random io.Reader) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, nil, &Error{Check: CheckKey, Reason: "key cannot be made", Err: err}
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, &Error{Check: CheckKey, Reason: "key cannot be written", Err: err}
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// PublicPEM is the public half of a key in the PEM form that [Verify] and
// `--runtime-policy-sig-key` take.
func PublicPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, &Error{Check: CheckKey, Reason: "public key cannot be written", Err: err}
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParsePrivateKey reads an unencrypted EC private key in PEM, SEC 1 ("EC
// PRIVATE KEY", also behind "EC PARAMETERS") or PKCS #8 ("PRIVATE KEY"). Error:
// *[Error] with CheckKey; it holds nothing of the key.
func ParsePrivateKey(keyPEM []byte) (*ecdsa.PrivateKey, error) {
	refuse := func(reason string) (*ecdsa.PrivateKey, error) {
		return nil, &Error{Check: CheckKey, Reason: reason}
	}
	for block, rest := pem.Decode(keyPEM); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return refuse("private key is encrypted; decrypt it first (openssl ec)")
			}
			key, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return refuse("EC private key cannot be read" + unsupported(block.Bytes))
			}
			return key, nil
		case "PRIVATE KEY":
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return refuse("private key cannot be read" + unsupported(block.Bytes))
			}
			key, ok := parsed.(*ecdsa.PrivateKey)
			if !ok {
				return refuse("only elliptic curve keys are supported")
			}
			return key, nil
		case "ENCRYPTED PRIVATE KEY":
			return refuse("private key is encrypted; decrypt it first (openssl pkey)")
		case "RSA PRIVATE KEY":
			return refuse("only elliptic curve keys are supported")
		}
	}
	return refuse("file holds no private key in PEM")
}

// unsupported says what is wrong with a key on the curve P-192, which Keylime
// takes and no library of ours has; "" for all others.
func unsupported(der []byte) string {
	if bytes.Contains(der, []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x01")) { // 1.2.840.10045.3.1.1
		return ": the curve P-192 is not supported; P-224, P-256, P-384 and P-521 are"
	}
	return ""
}
