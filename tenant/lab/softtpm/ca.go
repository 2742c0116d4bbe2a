package softtpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/keylime/keylime-tenant/tenant/tpmkey"
)

// caYears is how long the CA's certificate is valid.
const caYears = 10

// EKCA issues EK certificates, as the maker of a TPM does.
type EKCA struct {
	// Certificate is the self-signed root.
	Certificate *x509.Certificate
	key         crypto.Signer
}

// NewEKCA makes a CA that is valid from a day before now, since clocks differ,
// for ten years. It fails only when random numbers do.
func NewEKCA(now time.Time) (*EKCA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Keylime lab"}, CommonName: "Keylime lab EK root (for tests only)"},
		NotBefore:             now.AddDate(0, 0, -1),
		NotAfter:              now.AddDate(caYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &EKCA{Certificate: certificate, key: key}, nil
}

// LoadEKCA reads what [EKCA.MarshalPEM] wrote. It fails if certificate or key
// are missing or do not belong together.
func LoadEKCA(text []byte) (*EKCA, error) {
	ca := &EKCA{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("EK CA: %w", err)
			}
			ca.Certificate = certificate
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("EK CA: %w", err)
			}
			ca.key, _ = key.(crypto.Signer)
		}
	}
	if ca.Certificate == nil || ca.key == nil {
		return nil, errors.New("EK CA: a certificate and a private key are needed")
	}
	if public, ok := ca.Certificate.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(ca.key.Public()) {
		return nil, errors.New("EK CA: the private key does not belong to the certificate")
	}
	return ca, nil
}

// MarshalPEM is certificate and private key: a secret.
func (c *EKCA) MarshalPEM() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return nil, err
	}
	return append(c.CertificatePEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), nil
}

// CertificatePEM is the certificate, for a store of EK certificates.
func (c *EKCA) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate.Raw})
}

// IssueEK makes a certificate (DER) for an EK (TPM2B_PUBLIC), with the
// contents that the TCG EK Credential Profile 2.5, section 3.2, demands: an
// empty subject, a critical subjectAltName that names the TPM's manufacturer,
// model and version, and the extended key usage tcg-kp-EKCertificate. It never
// expires. It fails if ekPub is not a public area of an RSA or ECC key.
func (c *EKCA) IssueEK(ekPub []byte, now time.Time) ([]byte, error) {
	public, err := tpmkey.Parse(ekPub)
	if err != nil {
		return nil, fmt.Errorf("EK: %w", err)
	}
	key, err := tpmkey.Key(public)
	if err != nil {
		return nil, fmt.Errorf("EK: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	usage := x509.KeyUsageKeyAgreement
	if _, isRSA := key.(*rsa.PublicKey); isRSA {
		usage = x509.KeyUsageKeyEncipherment
	}
	names, err := tpmNames()
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             now.AddDate(0, 0, -1),
		NotAfter:              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:              usage,
		UnknownExtKeyUsage:    []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}},
		BasicConstraintsValid: true,
		ExtraExtensions:       []pkix.Extension{names},
	}, c.Certificate, key, c.key)
}

// tpmNames is the subjectAltName: one directoryName of TPM attributes.
func tpmNames() (pkix.Extension, error) {
	attribute := func(arc int, value string) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 23, 133, 2, arc}, Value: value}}
	}
	name, err := asn1.Marshal(pkix.RDNSequence{
		attribute(1, "id:4B4C4D45"), // manufacturer, "KLME": not in the TCG registry
		attribute(2, "keylime-lab"), // model
		attribute(3, "id:00010000"), // version
	})
	if err != nil {
		return pkix.Extension{}, err
	}
	const directoryName = 4 // GeneralName, explicit since Name is a CHOICE
	general, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: directoryName, IsCompound: true, Bytes: name}})
	if err != nil {
		return pkix.Extension{}, err
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: general}, nil
}

// newSerial draws a serial number of 128 bits, never zero.
func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, err
	}
	return serial.Add(serial, big.NewInt(1)), nil
}
