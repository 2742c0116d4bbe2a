package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Password is a password of a private key. It prints as [redacted].
type Password string

// Format prints [redacted], whatever the verb.
func (Password) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// MarshalText prints [redacted], in JSON and YAML too.
func (Password) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// TLSFiles says where the TLS material of this side lies and how servers are
// judged.
type TLSFiles struct {
	// CAFiles hold the certificates of the authorities that servers are
	// trusted for, one or more PEM blocks each.
	CAFiles []string
	// CertFile is the client certificate, PEM; certificates after the first
	// are sent along as its chain. KeyFile is its private key, PEM.
	CertFile, KeyFile string
	// KeyPassword decrypts KeyFile; empty for a key that is not encrypted.
	KeyPassword Password
	// CheckHostname makes the certificate of a server bear its host name or
	// address. Pinned certificates are exempt: the pin says more.
	CheckHostname bool
	// InsecureSkipServer accepts any certificate of a server that is not
	// pinned.
	InsecureSkipServer bool
	// Anonymous shows no client certificate: enough for the public routes of
	// registrar and verifier, and for nothing else.
	Anonymous bool

	// CAOption, CertOption, KeyOption and PasswordOption are the names of the
	// options in messages; empty means those of tenant.conf.
	CAOption, CertOption, KeyOption, PasswordOption string
}

// TLSMaterial is TLS material that has been read and checked. It may be shared
// by any number of clients and goroutines.
type TLSMaterial struct {
	files TLSFiles
	roots *x509.CertPool
	cas   []*x509.Certificate
	cert  *tls.Certificate
}

// Files says where the material came from; the password is left out.
func (m *TLSMaterial) Files() TLSFiles {
	files := m.files
	files.KeyPassword = ""
	return files
}

// CAs are the certificates that servers are trusted for, in file order.
func (m *TLSMaterial) CAs() []*x509.Certificate { return m.cas }

// Certificate is our client certificate, nil if there is none.
func (m *TLSMaterial) Certificate() *x509.Certificate {
	if m.cert == nil {
		return nil
	}
	return m.cert.Leaf
}

// LoadTLS reads the files and checks that they can be used: at least one
// authority (unless InsecureSkipServer), and a certificate with the private
// key that belongs to it (unless Anonymous). Otherwise it is a *[FileError].
func LoadTLS(files TLSFiles) (*TLSMaterial, error) {
	return nil, errors.New("not yet")
}
