package softtpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/tpmkey"
)

// object is a key in the TPM.
type object struct {
	private   crypto.Signer // *rsa.PrivateKey or *ecdsa.PrivateKey
	public    tpm2.TPMTPublic
	algorithm string // rsa2048, ecc256, …
	raw       []byte // TPM2B_PUBLIC
	name      []byte // nameAlg || H(TPMT_PUBLIC)
}

// The policies of the EK templates (TCG EK Credential Profile 2.5, B.6):
// PolicyA is PolicySecret(TPM_RH_ENDORSEMENT) with SHA-256, PolicyB a PolicyOR
// over it with SHA-384.
const (
	policyA = "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
	policyB = "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12"
)

// ekAttributes are 0x000300b2 of the low-range templates; the high-range ones
// set userWithAuth too (0x000300f2).
func ekAttributes(high bool) tpm2.TPMAObject {
	return tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: high,
		AdminWithPolicy: true, Restricted: true, Decrypt: true}
}

// akAttributes are 0x00050072, which the registrar demands of an AK.
func akAttributes() tpm2.TPMAObject {
	return tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
		Restricted: true, SignEncrypt: true}
}

// newEK makes an EK by one of the templates of the EK Credential Profile.
func newEK(algorithm string, random io.Reader) (object, error) {
	private, full, err := newKey(algorithm, random)
	if err != nil {
		return object{}, err
	}
	high := full != "rsa2048" && full != "ecc256"
	if full == "ecc521" || full == "ecc224" { // no template has them
		return object{}, unknownAlgorithm(algorithm)
	}
	nameAlg, policy, bits := tpm2.TPMAlgSHA256, policyA, tpm2.TPMKeyBits(128)
	if high {
		nameAlg, policy, bits = tpm2.TPMAlgSHA384, policyB, 256
	}
	digest, err := hex.DecodeString(policy)
	if err != nil {
		return object{}, err
	}
	public := tpm2.TPMTPublic{NameAlg: nameAlg, ObjectAttributes: ekAttributes(high), AuthPolicy: tpm2.TPM2BDigest{Buffer: digest}}
	symmetric := tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgAES,
		KeyBits: tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, bits), Mode: tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB)}
	return finish(private, full, public, symmetric, tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull}, tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgNull})
}

// newAK makes a restricted signing key, as Keylime's agents do.
func newAK(algorithm string, hash bank, random io.Reader) (object, error) {
	return newSigning(algorithm, hash, akAttributes(), random)
}

// newSigning makes a signing key.
func newSigning(algorithm string, hash bank, attributes tpm2.TPMAObject, random io.Reader) (object, error) {
	private, full, err := newKey(algorithm, random)
	if err != nil {
		return object{}, err
	}
	public := tpm2.TPMTPublic{NameAlg: hash.id, ObjectAttributes: attributes}
	return finish(private, full, public, tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
		tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: hash.id})},
		tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: hash.id})})
}

// newKey makes a key; full is the algorithm's full name.
func newKey(algorithm string, random io.Reader) (private crypto.Signer, full string, err error) {
	switch algorithm {
	case "rsa", "rsa2048":
		private, err = rsa.GenerateKey(random, 2048)
	case "rsa3072":
		private, err = rsa.GenerateKey(random, 3072)
	case "ecc224":
		private, err = ecdsa.GenerateKey(elliptic.P224(), random)
	case "ecc", "ecc256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), random)
	case "ecc384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), random)
	case "ecc521":
		private, err = ecdsa.GenerateKey(elliptic.P521(), random)
	default:
		return nil, "", unknownAlgorithm(algorithm)
	}
	if err != nil {
		return nil, "", err
	}
	full = strings.TrimSuffix(algorithm, "2048")
	switch full {
	case "rsa":
		full = "rsa2048"
	case "ecc":
		full = "ecc256"
	}
	return private, full, nil
}

func unknownAlgorithm(name string) error {
	return fmt.Errorf("unknown key algorithm %q: use rsa2048, rsa3072, ecc256 or ecc384 (an AK may also be ecc224 or ecc521)", name)
}

// finish puts the key into its public area, and writes and names that.
func finish(private crypto.Signer, algorithm string, public tpm2.TPMTPublic, symmetric tpm2.TPMTSymDefObject, rsaScheme tpm2.TPMTRSAScheme, eccScheme tpm2.TPMTECCScheme) (object, error) {
	switch key := private.Public().(type) {
	case *rsa.PublicKey:
		public.Type = tpm2.TPMAlgRSA
		public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{Symmetric: symmetric, Scheme: rsaScheme, KeyBits: tpm2.TPMKeyBits(key.N.BitLen())})
		public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: key.N.Bytes()})
	case *ecdsa.PublicKey:
		curve, point, err := eccPoint(key)
		if err != nil {
			return object{}, err
		}
		public.Type = tpm2.TPMAlgECC
		public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{Symmetric: symmetric, Scheme: eccScheme, CurveID: curve, KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull}})
		public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &point)
	}
	return describe(private, algorithm, public)
}

// describe completes an object whose public area is known.
func describe(private crypto.Signer, algorithm string, public tpm2.TPMTPublic) (object, error) {
	name, err := tpm2.ObjectName(&public)
	if err != nil {
		return object{}, err
	}
	return object{private: private, public: public, algorithm: algorithm, name: name.Buffer,
		raw: tpm2.Marshal(tpm2.New2B(public))}, nil
}

// eccPoint is a public key as TPMs write it: coordinates of full width.
func eccPoint(key *ecdsa.PublicKey) (tpm2.TPMECCCurve, tpm2.TPMSECCPoint, error) {
	var curve tpm2.TPMECCCurve
	switch key.Curve {
	case elliptic.P224():
		curve = tpm2.TPMECCNistP224
	case elliptic.P256():
		curve = tpm2.TPMECCNistP256
	case elliptic.P384():
		curve = tpm2.TPMECCNistP384
	case elliptic.P521():
		curve = tpm2.TPMECCNistP521
	default:
		return 0, tpm2.TPMSECCPoint{}, errors.New("unknown elliptic curve")
	}
	point, err := key.Bytes() // 04 || X || Y
	if err != nil {
		return 0, tpm2.TPMSECCPoint{}, err
	}
	x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
	return curve, tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: x}, Y: tpm2.TPM2BECCParameter{Buffer: y}}, nil
}

// AKName is the name of a key: nameAlg || H(TPMT_PUBLIC) (TPM 2.0 Part 1,
// section 16). It fails if tpm2b is not a TPM2B_PUBLIC.
func AKName(tpm2b []byte) ([]byte, error) {
	public, err := tpmkey.Parse(tpm2b)
	if err != nil {
		return nil, err
	}
	return tpmkey.Name(public)
}
