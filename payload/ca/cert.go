package ca

import (
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // a key identifier, as RFC 5280 4.2.1.2 defines it, not a signature
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/youmark/pkcs8"

	"github.com/keylime/keylime-tenant/payload"
)

// CreateOptions say what a new certificate is to hold.
type CreateOptions struct {
	// DNSNames and IPs are its subject alternative names; with none of either,
	// the name of the certificate is its one DNS name, as upstream has it.
	DNSNames []string
	IPs      []net.IP
	// KeyPassword encrypts the key's file; empty leaves it unencrypted.
	KeyPassword payload.Secret
}

// Certificate tells of one certificate of the authority.
type Certificate struct {
	Name string `json:"name"`
	// Serial is the decimal serial number.
	Serial string `json:"serial"`
	// Subject is the name in the form of RFC 4514: last part first.
	Subject   string    `json:"subject"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Revoked   bool      `json:"revoked"`
}

// Create makes a key and a certificate for a name and writes name-cert.crt,
// name-private.pem and name-public.pem. A certificate of that name is replaced.
//
// Errors: [ErrName], [ErrPassword] when the store has changed its password
// since Open, or the failure of a file.
func (c *CA) Create(name string, options CreateOptions) (Certificate, error) {
	if err := checkName(name); err != nil {
		return Certificate{}, err
	}
	var made Certificate
	err := c.change(func() error {
		key, err := rsa.GenerateKey(c.options.Rand, c.options.Bits)
		if err != nil {
			return fmt.Errorf("making the key of %s: %w", name, err)
		}
		serial := c.store.lastSerial + 1
		der, err := c.sign(name, serial, &key.PublicKey, options)
		if err != nil {
			return err
		}
		private, err := sealedKeyPEM(key, options.KeyPassword)
		if err != nil {
			return err
		}
		public, err := publicPEM(&key.PublicKey)
		if err != nil {
			return err
		}
		c.store.keys[name], c.store.lastSerial = private, serial
		// The store first: a serial number that is written down but not used
		// does no harm, one that is used twice does.
		if err := c.writeStore(); err != nil {
			return err
		}
		if err := c.write(name+"-private.pem", private, 0o600); err != nil {
			return err
		}
		if err := c.write(name+"-public.pem", public, 0o644); err != nil {
			return err
		}
		if err := c.write(name+"-cert.crt", certPEM(der), 0o644); err != nil {
			return err
		}
		made, err = c.describe(name)
		return err
	})
	return made, err
}

// List tells of every certificate file of the directory, by name.
func (c *CA) List() ([]Certificate, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, fmt.Errorf("listing the CA directory: %w", err)
	}
	var list []Certificate
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), "-cert.crt")
		if !ok {
			continue
		}
		one, err := c.describe(name)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

func (c *CA) describe(name string) (Certificate, error) {
	cert, err := c.readCert(name + "-cert.crt")
	if errors.Is(err, fs.ErrNotExist) {
		return Certificate{}, &Error{Object: name, Err: fmt.Errorf("%w: %w", ErrNotFound, err)}
	}
	if err != nil {
		return Certificate{}, err
	}
	one := Certificate{Name: name, Serial: cert.SerialNumber.String(), NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}
	if one.Subject, err = subjectText(cert.RawSubject); err != nil {
		return Certificate{}, &Error{Object: c.path(name + "-cert.crt"), Err: err}
	}
	for _, serial := range c.store.revoked {
		one.Revoked = one.Revoked || serial == one.Serial
	}
	return one, nil
}

// selfSigned is the certificate of the authority itself, serial number 1.
func (c *CA) selfSigned() (*x509.Certificate, error) {
	subject, err := c.name(c.options.Name)
	if err != nil {
		return nil, err
	}
	id := keyID(&c.key.PublicKey)
	now := c.options.Now().UTC()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), RawSubject: subject,
		NotBefore: now, NotAfter: now.AddDate(0, 0, c.options.CALifetime),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId: id, AuthorityKeyId: id, CRLDistributionPoints: []string{c.options.CRLURL},
		SignatureAlgorithm: x509.SHA256WithRSA,
	}
	der, err := x509.CreateCertificate(c.options.Rand, template, template, &c.key.PublicKey, c.key)
	if err != nil {
		return nil, fmt.Errorf("making the CA's certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// sign makes a leaf certificate. It serves as a server's and as a client's.
func (c *CA) sign(name string, serial int64, key *rsa.PublicKey, options CreateOptions) ([]byte, error) {
	subject, err := c.name(name)
	if err != nil {
		return nil, err
	}
	now := c.options.Now().UTC()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), RawSubject: subject,
		NotBefore: now, NotAfter: now.AddDate(0, 0, c.options.Lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    options.DNSNames, IPAddresses: options.IPs,
		SubjectKeyId: keyID(key), CRLDistributionPoints: []string{c.options.CRLURL},
		SignatureAlgorithm: x509.SHA256WithRSA,
	}
	if len(options.DNSNames)+len(options.IPs) == 0 {
		template.DNSNames = []string{name}
	}
	// A parent's SubjectKeyId is what CreateCertificate takes for the leaf's
	// authority key identifier; OpenSSL 3.2 insists on one.
	parent := *c.cert
	if len(parent.SubjectKeyId) == 0 {
		parent.SubjectKeyId = keyID(&c.key.PublicKey)
	}
	der, err := x509.CreateCertificate(c.options.Rand, template, &parent, key, c.key)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of %s: %w", name, err)
	}
	return der, nil
}

// name is a distinguished name in upstream's order (PROTOCOL.md 8.4): country,
// common name, state, locality, organisation, unit.
func (c *CA) name(common string) ([]byte, error) {
	o := c.options
	var rdns pkix.RDNSequence
	for _, part := range []struct {
		id    asn1.ObjectIdentifier
		value string
		tag   int
	}{
		{asn1.ObjectIdentifier{2, 5, 4, 6}, o.Country, asn1.TagPrintableString},
		{asn1.ObjectIdentifier{2, 5, 4, 3}, common, asn1.TagUTF8String},
		{asn1.ObjectIdentifier{2, 5, 4, 8}, o.State, asn1.TagUTF8String},
		{asn1.ObjectIdentifier{2, 5, 4, 7}, o.Locality, asn1.TagUTF8String},
		{asn1.ObjectIdentifier{2, 5, 4, 10}, o.Organization, asn1.TagUTF8String},
		{asn1.ObjectIdentifier{2, 5, 4, 11}, o.Unit, asn1.TagUTF8String},
	} {
		rdns = append(rdns, pkix.RelativeDistinguishedNameSET{{Type: part.id,
			Value: asn1.RawValue{Class: asn1.ClassUniversal, Tag: part.tag, Bytes: []byte(part.value)}}})
	}
	raw, err := asn1.Marshal(rdns)
	if err != nil {
		return nil, fmt.Errorf("the name %q: %w", common, err)
	}
	return raw, nil
}

// subjectText is a name in the form of RFC 4514, which the verifier is told
// with a certificate package: last part first.
func subjectText(raw []byte) (string, error) {
	var rdns pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &rdns); err != nil || len(rest) > 0 {
		return "", errors.New("its subject is not a distinguished name")
	}
	return rdns.String(), nil
}

// keyID is a key identifier of RFC 5280 4.2.1.2, method 1.
func keyID(key *rsa.PublicKey) []byte {
	sum := sha1.Sum(x509.MarshalPKCS1PublicKey(key)) //nolint:gosec // see the import
	return sum[:]
}

func (c *CA) readCert(name string) (*x509.Certificate, error) {
	text, err := os.ReadFile(c.path(name))
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, &Error{Object: c.path(name), Err: errors.New("not a certificate in PEM")}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, &Error{Object: c.path(name), Err: err}
	}
	return cert, nil
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func publicPEM(key *rsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func keyPEM(key *rsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// sealedKeyPEM is a private key in PKCS#8, encrypted unless the password is
// empty.
func sealedKeyPEM(key *rsa.PrivateKey, password payload.Secret) ([]byte, error) {
	if password.Len() == 0 {
		return keyPEM(key)
	}
	der, err := pkcs8.MarshalPrivateKey(key, password.Bytes(), nil)
	if err != nil {
		return nil, fmt.Errorf("encrypting a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), nil
}

func parseKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errNotRSA
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errNotRSA
	}
	if key, ok := key.(*rsa.PrivateKey); ok {
		return key, nil
	}
	return nil, errNotRSA
}

// parseSerial reads a decimal serial number.
func parseSerial(text string) (*big.Int, bool) {
	if text == "" || strings.TrimLeft(text, "0123456789") != "" || text != strconv.Itoa(0) && strings.HasPrefix(text, "0") {
		return nil, false
	}
	return new(big.Int).SetString(text, 10)
}
