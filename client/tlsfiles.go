package client

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Password is a password of a private key, or a token. It prints as [redacted].
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
func (m *TLSMaterial) Files() TLSFiles { return m.files }

// String names our certificate, not the key.
func (m *TLSMaterial) String() string {
	if m == nil || m.cert == nil {
		return "no client certificate"
	}
	return "client certificate " + printable(m.files.CertFile)
}

// GoString is String, so that %#v does not show the key either.
func (m *TLSMaterial) GoString() string { return m.String() }

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
// Dates are not checked here: whether a certificate has expired, the other
// side judges.
func LoadTLS(files TLSFiles) (*TLSMaterial, error) {
	withNames(&files)
	m := &TLSMaterial{files: files, roots: x509.NewCertPool()}
	for _, path := range files.CAFiles {
		certs, err := readCertificates(files.CAOption, path)
		if err != nil {
			return nil, err
		}
		for _, cert := range certs {
			m.roots.AddCert(cert)
		}
		m.cas = append(m.cas, certs...)
	}
	if len(m.cas) == 0 && !files.InsecureSkipServer {
		return nil, &FileError{Option: files.CAOption, Cause: "no CA certificate is configured, so no server can be trusted"}
	}
	if files.Anonymous {
		m.files.KeyPassword = ""
		return m, nil
	}
	cert, err := readPair(files)
	if err != nil {
		return nil, err
	}
	m.cert, m.files.KeyPassword = cert, ""
	return m, nil
}

// withNames fills in the names of tenant.conf's options.
func withNames(files *TLSFiles) {
	for _, name := range []struct {
		option *string
		usual  string
	}{
		{&files.CAOption, "trusted_server_ca"},
		{&files.CertOption, "client_cert"},
		{&files.KeyOption, "client_key"},
		{&files.PasswordOption, "client_key_password"},
	} {
		if *name.option == "" {
			*name.option = name.usual
		}
	}
}

// ErrKeyMismatch is below the [FileError] of a private key that belongs to
// another certificate than ours.
var ErrKeyMismatch = errors.New("the key does not belong to the certificate")

// readPair reads our certificate and the key that belongs to it.
func readPair(files TLSFiles) (*tls.Certificate, error) {
	chain, err := readCertificates(files.CertOption, files.CertFile)
	if err != nil {
		return nil, err
	}
	text, err := readFile(files.KeyOption, files.KeyFile)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(text, string(files.KeyPassword))
	switch {
	case errors.Is(err, errNoPassword):
		return nil, &FileError{Option: files.KeyOption, Path: files.KeyFile, Err: err,
			Cause: "the key is encrypted, and " + files.PasswordOption + " is not set"}
	case errors.Is(err, errWrongPassword):
		return nil, &FileError{Option: files.KeyOption, Path: files.KeyFile, Err: err,
			Cause: files.PasswordOption + " is the wrong password for it"}
	case err != nil:
		return nil, &FileError{Option: files.KeyOption, Path: files.KeyFile, Err: err, Cause: err.Error()}
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(chain[0].PublicKey) {
		return nil, &FileError{Option: files.KeyOption, Path: files.KeyFile, Err: ErrKeyMismatch,
			Cause: fmt.Sprintf("the key does not belong to the certificate of %s, %s", files.CertOption, printable(files.CertFile))}
	}
	cert := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert, nil
}

// readCertificates reads the certificates of a PEM file, at least one.
func readCertificates(option, path string) ([]*x509.Certificate, error) {
	text, err := readFile(option, path)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &FileError{Option: option, Path: path, Err: err,
				Cause: fmt.Sprintf("certificate %d in it cannot be read: %s", len(certs)+1, tidy(err.Error()))}
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, &FileError{Option: option, Path: path, Cause: "there is no PEM certificate in it"}
	}
	return certs, nil
}

// fileLimit is the largest file that is taken for TLS material, in bytes.
const fileLimit = 16 << 20

func readFile(option, path string) ([]byte, error) {
	if path == "" {
		return nil, &FileError{Option: option, Cause: "no file is configured"}
	}
	bad := func(cause string, err error) ([]byte, error) {
		return nil, &FileError{Option: option, Path: path, Cause: cause, Err: err}
	}
	text, err := readLimited(path)
	var pathError *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad("no such file", err)
	case errors.Is(err, fs.ErrPermission):
		return bad("this user may not read it", err)
	case errors.As(err, &pathError):
		return bad(pathError.Err.Error(), err)
	case err != nil:
		return bad(err.Error(), err)
	case len(text) > fileLimit:
		return bad(fmt.Sprintf("more than %d MiB are too many", fileLimit>>20), nil)
	}
	return text, nil
}

// readLimited reads a file, but not much more than fileLimit of it: it may have
// no end.
func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return io.ReadAll(io.LimitReader(f, fileLimit+1))
}
