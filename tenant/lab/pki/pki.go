// Package pki makes the lab's throw-away certificates: a certificate authority
// that lives as long as one lab, certificates for servers and clients below
// it, and the self-signed certificate of an agent.
//
// Nothing made here is meant to be trusted outside of a lab: keys are not
// encrypted, certificates hold for a few years, and there is no revocation.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// CACommonName is the subject common name of every CA of this package.
const CACommonName = "Keylime Lab Certificate Authority"

const (
	// caLifetime is the time a CA's certificate holds.
	caLifetime = 3650 * 24 * time.Hour
	// leafLifetime is the time other certificates hold, as Keylime's do.
	leafLifetime = 365 * 24 * time.Hour
	// backdate lets a certificate hold on machines whose clock is behind.
	backdate = 5 * time.Minute
)

// Pair is a certificate and its private key, both PEM; the key is PKCS#8.
type Pair struct{ CertPEM, KeyPEM []byte }

// TLS returns the pair as crypto/tls takes it. A pair that does not fit
// together is an error.
func (p Pair) TLS() (tls.Certificate, error) {
	cert, err := tls.X509KeyPair(p.CertPEM, p.KeyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate and key do not fit together: %w", err)
	}
	return cert, nil
}

// CA is a certificate authority with an EC P-256 key.
type CA struct {
	// Pair is the CA's own certificate and key.
	Pair
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes a certificate authority that holds from now.
func NewCA(now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the CA's key: %w", err)
	}
	template, err := newTemplate(CACommonName, now, caLifetime)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if template.SubjectKeyId, err = keyID(&key.PublicKey); err != nil {
		return nil, err
	}
	template.AuthorityKeyId = template.SubjectKeyId
	pair, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return LoadCA(pair)
}

// LoadCA takes a certificate authority up again from its certificate and key.
// A pair that does not fit together, or is no CA with an EC key, is an error.
func LoadCA(pair Pair) (*CA, error) {
	both, err := pair.TLS()
	if err != nil {
		return nil, err
	}
	key, ok := both.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !both.Leaf.IsCA {
		return nil, errors.New("not a certificate authority of this lab")
	}
	return &CA{Pair: pair, cert: both.Leaf, key: key}, nil
}

// Pool holds the CA's certificate alone.
func (c *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.cert)
	return pool
}

// Server issues a certificate for a server on the given names and addresses.
func (c *CA) Server(name string, hosts []string, now time.Time) (Pair, error) {
	return c.issue(name, hosts, x509.ExtKeyUsageServerAuth, now)
}

// Client issues a certificate whose holder may administrate the servers that
// trust this CA.
func (c *CA) Client(name string, now time.Time) (Pair, error) {
	return c.issue(name, nil, x509.ExtKeyUsageClientAuth, now)
}

func (c *CA) issue(name string, hosts []string, usage x509.ExtKeyUsage, now time.Time) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("making a key for %s: %w", name, err)
	}
	template, err := newTemplate(name, now, leafLifetime)
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	addHosts(template, hosts)
	return sign(template, c.cert, key, c.key)
}

// SelfSigned makes an agent's own certificate, in the shape of the Rust
// agent's (PROTOCOL.md 1.6): subject and issuer are the agent's id, the names
// are those of the loopback and the contact address. Unlike the Rust agent's,
// its signature covers the names.
func SelfSigned(id string, key *ecdsa.PrivateKey, contact []string, now time.Time) (Pair, error) {
	template, err := newTemplate(id, now, leafLifetime)
	if err != nil {
		return Pair{}, err
	}
	addHosts(template, append([]string{"localhost", "localhost.domain", "127.0.0.1", "::1"}, contact...))
	return sign(template, template, key, key)
}

// NewKey makes an EC P-256 key, the kind of key of all certificates here.
func NewKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func newTemplate(name string, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Keylime lab"}},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(lifetime),
	}, nil
}

// addHosts adds names and addresses, each once.
func addHosts(template *x509.Certificate, hosts []string) {
	seen := map[string]bool{}
	for _, host := range hosts {
		if host == "" || seen[host] {
			continue
		}
		seen[host] = true
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (Pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return Pair{}, fmt.Errorf("signing the certificate of %s: %w", template.Subject.CommonName, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encoding the key of %s: %w", template.Subject.CommonName, err)
	}
	return Pair{
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}

// keyID is the usual key identifier: SHA-1 over the public key (RFC 5280,
// section 4.2.1.2, method 1, over the whole SubjectPublicKeyInfo).
func keyID(key *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the CA's public key: %w", err)
	}
	sum := sha1.Sum(der)
	return sum[:], nil
}
