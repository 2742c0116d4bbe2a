package ca

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
)

// Revoke puts the certificate of that name on the revocation list and writes
// the list anew. Revoking twice is no error.
//
// Errors: [ErrName], [ErrNotFound], or the failure of a file.
func (c *CA) Revoke(name string) (Certificate, error) {
	if err := checkName(name); err != nil {
		return Certificate{}, err
	}
	var one Certificate
	err := c.change(func() error {
		var err error
		if one, err = c.describe(name); err != nil {
			return err
		}
		one.Revoked = true
		return c.revoke(one.Serial)
	})
	return one, err
}

// RevokeSerial does the same for a certificate whose file is gone.
func (c *CA) RevokeSerial(serial string) error {
	if _, ok := parseSerial(serial); !ok {
		return &Error{Object: fmt.Sprintf("%q", serial), Err: fmt.Errorf("%w: not a decimal serial number", ErrNotFound)}
	}
	return c.change(func() error { return c.revoke(serial) })
}

func (c *CA) revoke(serial string) error {
	if !slices.Contains(c.store.revoked, serial) {
		c.store.revoked = append(c.store.revoked, serial)
		if err := c.writeStore(); err != nil {
			return err
		}
	}
	return c.writeCRL()
}

// RenewCRL writes the revocation list anew, with new dates.
func (c *CA) RenewCRL() error { return c.change(c.writeCRL) }

// writeCRL writes the revocation list in both forms.
func (c *CA) writeCRL() error {
	now := c.options.Now().UTC()
	list := &x509.RevocationList{
		// The list has no number upstream; the time makes numbers that grow.
		Number: big.NewInt(now.Unix()), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, c.options.CRLDays),
		SignatureAlgorithm: x509.SHA256WithRSA,
	}
	for _, serial := range c.store.revoked {
		n, ok := parseSerial(serial)
		if !ok {
			return fmt.Errorf("%w: %q is no serial number", ErrKeyStore, serial)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: n, RevocationTime: now})
	}
	issuer := *c.cert
	if len(issuer.SubjectKeyId) == 0 {
		issuer.SubjectKeyId = keyID(&c.key.PublicKey)
	}
	der, err := x509.CreateRevocationList(c.options.Rand, list, &issuer, c.key)
	if err != nil {
		return fmt.Errorf("making the revocation list: %w", err)
	}
	if err := c.write(FileCRLDER, der, 0o644); err != nil {
		return err
	}
	return c.write(FileCRLPEM, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o644)
}
