package ima

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// KeyError is the refusal of a key.
type KeyError struct {
	// Name is the file or place that it comes from, "" if unknown.
	Name string
	// Reason completes the sentence "the key ...".
	Reason string
}

func (e *KeyError) Error() string {
	if e.Name == "" {
		return "key " + e.Reason
	}
	return e.Name + " " + e.Reason
}

// ParseKey finds the public key in data, tried as Keylime tries it: DER or PEM
// certificate, public key, unencrypted private key. id is the key id that a
// certificate's subject key identifier gives, else 0.
//
// Data that is none of these, or a private key of more than 16 KiB, gives no key
// and no error: buffers of a measurement list are looked at so. A key that is neither RSA nor EC is a
// *[KeyError].
func ParseKey(data []byte) (key crypto.PublicKey, id uint32, err error) {
	for _, kind := range []string{certificateBlock, publicBlock, privateBlock} {
		for _, der := range append([][]byte{data}, blocks(data, kind)...) {
			if key, id = parseDER(der, kind); key != nil {
				if _, err := KeyID(key); err != nil {
					return nil, 0, err
				}
				return key, id, nil
			}
		}
	}
	return nil, 0, nil
}

// maxPrivate is the size in bytes of the largest private key that is read; RSA
// of 16384 bits, OpenSSL's limit, has 9300. crypto/x509 computes with a private
// key to see whether it is one, for a time that grows with the square of its
// size: days for a buffer in a measurement list of 64 MiB.
const maxPrivate = 16 << 10

const (
	certificateBlock = "certificate"
	publicBlock      = "public"
	privateBlock     = "private"
)

// blocks are the contents of the first PEM block of a kind.
func blocks(data []byte, kind string) [][]byte {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var is string
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
			is = certificateBlock
		case "PUBLIC KEY", "RSA PUBLIC KEY":
			is = publicBlock
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			is = privateBlock
		}
		if is == kind && block.Headers["DEK-Info"] == "" {
			return [][]byte{block.Bytes}
		}
	}
	return nil
}

// parseDER reads one DER form, nil if it is not that.
func parseDER(der []byte, kind string) (crypto.PublicKey, uint32) {
	switch kind {
	case certificateBlock:
		if cert, err := x509.ParseCertificate(der); err == nil {
			return cert.PublicKey, keyIDOf(cert.SubjectKeyId)
		}
		return parseLenient(der)
	case publicBlock:
		if key, err := x509.ParsePKIXPublicKey(der); err == nil {
			return key, 0
		}
		if key, err := x509.ParsePKCS1PublicKey(der); err == nil {
			return key, 0
		}
	case privateBlock:
		if len(der) > maxPrivate {
			return nil, 0
		}
		if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
			if signer, ok := key.(crypto.Signer); ok {
				return signer.Public(), 0
			}
			return key, 0 // X25519: a key, and none that signs
		}
		if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
			return &key.PublicKey, 0
		}
		if key, err := x509.ParseECPrivateKey(der); err == nil {
			return &key.PublicKey, 0
		}
	}
	return nil, 0
}

// keyIDOf is the id that a subject key identifier gives, 0 for too short ones.
func keyIDOf(ski []byte) uint32 {
	if len(ski) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(ski[len(ski)-4:])
}

// oidSubjectKeyID is the subject key identifier (RFC 5280, 4.2.1.2).
var oidSubjectKeyID = asn1.ObjectIdentifier{2, 5, 29, 14}

// parseLenient finds key and identifier in a certificate that crypto/x509
// refuses for other things than these, for example a negative serial number:
// what a kernel took into its keyring is not ours to judge.
func parseLenient(der []byte) (crypto.PublicKey, uint32) {
	input := cryptobyte.String(der)
	var cert, tbs, spki cryptobyte.String
	optional := cbasn1.Tag(0).ContextSpecific().Constructed()
	if !input.ReadASN1(&cert, cbasn1.SEQUENCE) || !input.Empty() || !cert.ReadASN1(&tbs, cbasn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(optional) || !tbs.SkipASN1(cbasn1.INTEGER) ||
		!tbs.SkipASN1(cbasn1.SEQUENCE) || !tbs.SkipASN1(cbasn1.SEQUENCE) || // signature, issuer
		!tbs.SkipASN1(cbasn1.SEQUENCE) || !tbs.SkipASN1(cbasn1.SEQUENCE) || // validity, subject
		!tbs.ReadASN1Element(&spki, cbasn1.SEQUENCE) {
		return nil, 0
	}
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, 0
	}
	switch key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey:
	default:
		return nil, 0
	}
	return key, keyIDOf(lenientSKI(tbs))
}

// lenientSKI finds the subject key identifier in what follows the key.
func lenientSKI(tbs cryptobyte.String) []byte {
	var outer, extensions cryptobyte.String
	var present bool
	for _, n := range []uint8{1, 2} {
		if !tbs.SkipOptionalASN1(cbasn1.Tag(n).ContextSpecific()) {
			return nil
		}
	}
	if !tbs.ReadOptionalASN1(&outer, &present, cbasn1.Tag(3).ContextSpecific().Constructed()) || !present ||
		!outer.ReadASN1(&extensions, cbasn1.SEQUENCE) {
		return nil
	}
	for !extensions.Empty() {
		var extension, value, ski cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !extensions.ReadASN1(&extension, cbasn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&oid) ||
			!extension.SkipOptionalASN1(cbasn1.BOOLEAN) || !extension.ReadASN1(&value, cbasn1.OCTET_STRING) {
			return nil
		}
		if oid.Equal(oidSubjectKeyID) && value.ReadASN1(&ski, cbasn1.OCTET_STRING) {
			return ski
		}
	}
	return nil
}

// ParsePublicKey reads a public key in DER: SubjectPublicKeyInfo or PKCS #1.
// Error: *[KeyError].
func ParsePublicKey(der []byte) (crypto.PublicKey, error) {
	key, _ := parseDER(der, publicBlock)
	if key == nil {
		return nil, &KeyError{Reason: "is no public key in DER"}
	}
	if _, err := KeyID(key); err != nil {
		return nil, err
	}
	return key, nil
}
