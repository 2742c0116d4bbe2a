package client

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// PinError: the server presents another certificate than the pinned one.
type PinError struct {
	// Want and Got are SHA-256 fingerprints in hex of the certificates' DER.
	Want, Got string
}

// Error shows both fingerprints.
func (e *PinError) Error() string {
	return fmt.Sprintf("it presents another certificate (sha256 %s) than the pinned one (sha256 %s)", e.Got, e.Want)
}

// distrust is why the certificate of a server is refused here.
type distrust struct {
	text, hint string
	err        error
}

func (d *distrust) Error() string { return d.text }
func (d *distrust) Unwrap() error { return d.err }

// parsePin reads the certificate that the server must present. Errors are
// *[Error] of kind ServerUntrusted.
func (c *Client) parsePin() (*x509.Certificate, error) {
	bad := func(cause string, err error) error {
		return &Error{Server: c.server, Kind: ServerUntrusted, Err: &because{cause, err},
			Hint: "the registrar's record of the agent is damaged: restart the agent so that it registers anew"}
	}
	if c.config.TLS == nil {
		return nil, bad("a certificate is pinned, but it would be spoken to in plain HTTP", nil)
	}
	block, _ := pem.Decode([]byte(c.config.PinnedPEM))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, bad("the certificate it must present is not PEM", nil)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, bad("the certificate it must present cannot be read: "+tidy(err.Error()), err)
	}
	return cert, nil
}

// tlsConfig is the configuration of one connection. There is no cache of
// sessions, so every connection makes a full handshake; and the check sits in
// VerifyConnection, which a resumed session would not skip either.
func (c *Client) tlsConfig(l *link) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: c.host,
		// The standard check would take host names for granted and could not
		// pin; trust does it all.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			l.peers = state.PeerCertificates
			return c.trust(state.PeerCertificates)
		},
		// Not Certificates: crypto/tls would keep ours back when the server's
		// list of authorities lacks its issuer, and the server could only say
		// that it misses one.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			l.asked = true
			if cert := c.config.TLS.cert; cert != nil {
				return cert, nil
			}
			return &tls.Certificate{}, nil
		},
	}
}

// trust judges the certificates that a server presents:
//   - pinned: the first is the pinned one, byte for byte, and its dates hold.
//     Its signature is not tested: agents add to their certificate after they
//     have signed it (PROTOCOL.md 1.6).
//   - otherwise: a chain leads to a configured authority, its dates hold, and
//     it is fit for a server; the host name only if CheckHostname is set.
//   - InsecureSkipServer, not pinned: nothing.
//
// Errors are *distrust.
func (c *Client) trust(presented []*x509.Certificate) error {
	if len(presented) == 0 {
		return &distrust{text: "it presents no certificate"}
	}
	leaf := presented[0]
	if c.pin != nil {
		return c.trustPinned(leaf)
	}
	if c.config.TLS.files.InsecureSkipServer {
		return nil
	}
	options := x509.VerifyOptions{Roots: c.config.TLS.roots, Intermediates: x509.NewCertPool()}
	for _, cert := range presented[1:] {
		options.Intermediates.AddCert(cert)
	}
	if c.config.TLS.files.CheckHostname {
		options.DNSName = c.host
	}
	if _, err := leaf.Verify(options); err != nil {
		return c.whyNot(leaf, err)
	}
	return nil
}

func (c *Client) trustPinned(leaf *x509.Certificate) error {
	if !bytes.Equal(leaf.Raw, c.pin.Raw) {
		err := &PinError{Want: fingerprint(c.pin), Got: fingerprint(leaf)}
		return &distrust{text: err.Error(), err: err,
			hint: "either the agent has a new certificate since it registered, and registers it when it is restarted, or something else answers at this address"}
	}
	if now := time.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return c.whyNot(leaf, x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired})
	}
	return nil
}

// whyNot says in our words why crypto/x509 refuses a certificate.
func (c *Client) whyNot(leaf *x509.Certificate, err error) error {
	d := &distrust{err: err}
	option := c.config.TLS.files.CAOption
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		d.text = fmt.Sprintf("its certificate is signed by %s, which is none of the %d in %s (%s)",
			quoted(leaf.Issuer.String()), len(c.config.TLS.cas), option, c.caFiles())
		d.hint = option + " must name the CA that signed it: copy cacert.crt from the server's cv_ca directory"
		if c.sameName(leaf) {
			d.text = fmt.Sprintf("its certificate is signed by another CA of the name %s than the one in %s (%s)",
				quoted(leaf.Issuer.String()), option, c.caFiles())
			d.hint = "one of the two CAs was made anew: copy cacert.crt and the client certificate from the server's cv_ca directory"
		}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		d.text, d.hint = datesOf(invalid.Cert, "its certificate"), "make a new certificate there, or set the clock right"
	case errors.As(err, &host):
		d.text = fmt.Sprintf("its certificate is not made out for %s but for %s", quoted(c.host), quoted(strings.Join(namesOf(leaf), ", ")))
		d.hint = "speak to it by one of these names, or switch the check of host names off"
	default:
		d.text = tidy(err.Error())
	}
	return d
}

// datesOf says in which way the dates of a certificate do not hold.
func datesOf(cert *x509.Certificate, what string) string {
	if time.Now().Before(cert.NotBefore) {
		return what + " is not valid before " + cert.NotBefore.UTC().Format(time.RFC3339)
	}
	return what + " has expired on " + cert.NotAfter.UTC().Format(time.RFC3339)
}

// sameName says whether one of our authorities has the name of the issuer.
func (c *Client) sameName(cert *x509.Certificate) bool {
	for _, ca := range c.config.TLS.cas {
		if bytes.Equal(ca.RawSubject, cert.RawIssuer) {
			return true
		}
	}
	return false
}

func (c *Client) caFiles() string {
	return printable(strings.Join(c.config.TLS.files.CAFiles, ", "))
}

func namesOf(cert *x509.Certificate) []string {
	names := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
