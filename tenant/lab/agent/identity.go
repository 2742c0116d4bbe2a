package agent

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/youmark/pkcs8"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/lab/pki"
)

// transportKeyName is the file of the transport key.
const transportKeyName = "payload-private.pem"

// validID is what an agent id may consist of (PROTOCOL.md 0.3).
var validID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[\pL\pN_.-]+$`) })

// agentID is the id that the configuration means.
func (a *Agent) agentID() (string, error) {
	bad := func(cause string, err error) (string, error) {
		return "", &ConfigError{File: "agent configuration", Option: "uuid", Cause: cause, Err: err}
	}
	switch id := a.config.UUID; id {
	case "hash_ek":
		public, err := ek.ParsePublic(a.machine.tpm.EKPublic())
		if err != nil {
			return bad("the EK cannot be hashed: "+err.Error(), err)
		}
		return public.Hash(), nil
	case "generate":
		return a.generatedID()
	default:
		if !validID().MatchString(id) || strings.Trim(id, ".") == "" {
			return bad(fmt.Sprintf("%.100q is no agent id: letters, digits, '_', '-' and '.' make one", id), nil)
		}
		return id, nil
	}
}

// generatedID is a random UUID that stays the same in the same directory.
func (a *Agent) generatedID() (string, error) {
	path := filepath.Join(a.config.KeylimeDir, "agent_uuid")
	if text, err := os.ReadFile(path); err == nil && validID().Match(text) {
		return string(text), nil
	}
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("making an agent id: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	id := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	if err := writeFile(path, []byte(id), 0o600); err != nil {
		return "", fmt.Errorf("keeping the agent id: %w", err)
	}
	return id, nil
}

// saveTransportKey keeps the transport key where a real agent does.
func (a *Agent) saveTransportKey() error {
	der, err := x509.MarshalPKCS8PrivateKey(a.nk)
	if err != nil {
		return fmt.Errorf("encoding the transport key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := writeFile(filepath.Join(a.config.KeylimeDir, transportKeyName), text, 0o600); err != nil {
		return fmt.Errorf("keeping the transport key: %w", err)
	}
	return nil
}

// serverTLS is the agent's own TLS: its certificate, and callers who must have
// one of a trusted CA. It is nil for an agent without TLS.
func (a *Agent) serverTLS() (*tls.Config, error) {
	if !a.config.EnableMTLS {
		return nil, nil
	}
	if err := a.makeCertificate(); err != nil {
		return nil, err
	}
	material, err := client.LoadTLS(client.TLSFiles{CAFiles: a.config.TrustedClientCA, Anonymous: true, CAOption: "trusted_client_ca"})
	if err != nil {
		return nil, &ConfigError{File: "agent configuration", Cause: err.Error(), Err: err}
	}
	clients := x509.NewCertPool()
	for _, ca := range material.CAs() {
		clients.AddCert(ca)
	}
	cert, err := a.certificate()
	if err != nil {
		return nil, err
	}
	a.certPEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{cert},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients,
	}, nil
}

// certificate reads the agent's certificate and key.
func (a *Agent) certificate() (tls.Certificate, error) {
	bad := func(option, cause string, err error) (tls.Certificate, error) {
		return tls.Certificate{}, &ConfigError{File: "agent configuration", Option: option, Cause: cause, Err: err}
	}
	certPEM, err := os.ReadFile(a.config.ServerCert)
	if err != nil {
		return bad("server_cert", err.Error(), err)
	}
	keyPEM, err := os.ReadFile(a.config.ServerKey)
	if err != nil {
		return bad("server_key", err.Error(), err)
	}
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return bad("server_key", a.config.ServerKey+" is not PEM", nil)
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" {
		key, err := pkcs8.ParsePKCS8PrivateKey(block.Bytes, a.config.ServerKeyPassword.Bytes())
		if err != nil {
			return bad("server_key_password", "does not open "+a.config.ServerKey, err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return bad("server_key", err.Error(), err)
		}
		keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return bad("server_cert", err.Error(), err)
	}
	return cert, nil
}

// makeCertificate makes key and certificate if neither exists. A key without a
// certificate, or the reverse, is for the owner to put right.
func (a *Agent) makeCertificate() error {
	_, keyErr := os.Stat(a.config.ServerKey)
	_, certErr := os.Stat(a.config.ServerCert)
	if !errors.Is(keyErr, fs.ErrNotExist) || !errors.Is(certErr, fs.ErrNotExist) {
		return nil
	}
	key, err := pki.NewKey()
	if err != nil {
		return fmt.Errorf("making the agent's TLS key: %w", err)
	}
	pair, err := pki.SelfSigned(a.id, key, []string{a.config.ContactIP, a.config.IP}, a.now())
	if err != nil {
		return err
	}
	if pair.KeyPEM, err = a.sealKey(key, pair.KeyPEM); err != nil {
		return err
	}
	if err := writeFile(a.config.ServerKey, pair.KeyPEM, 0o600); err != nil {
		return fmt.Errorf("keeping the agent's TLS key: %w", err)
	}
	if err := writeFile(a.config.ServerCert, pair.CertPEM, 0o644); err != nil {
		return fmt.Errorf("keeping the agent's certificate: %w", err)
	}
	return nil
}

// sealKey encrypts a key under server_key_password, if there is one.
func (a *Agent) sealKey(key *ecdsa.PrivateKey, plainPEM []byte) ([]byte, error) {
	if a.config.ServerKeyPassword.Len() == 0 {
		return plainPEM, nil
	}
	der, err := pkcs8.MarshalPrivateKey(key, a.config.ServerKeyPassword.Bytes(), nil)
	if err != nil {
		return nil, fmt.Errorf("encrypting the agent's TLS key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), nil
}
