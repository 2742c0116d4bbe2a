package ek

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Certificate is an X.509 certificate as far as this package needs it. It has
// been read, not verified: [Store.Verify] does that.
type Certificate struct {
	// Subject and Issuer are names for people, of limited length and without
	// control characters. Subject is "" for most EK certificates.
	Subject, Issuer string
	// Serial is the serial number; some makers' are negative.
	Serial *big.Int
	// NotBefore and NotAfter are zero if they cannot be read.
	NotBefore, NotAfter time.Time
	// Algorithm is the kind of the key: rsa2048, ecc384.
	Algorithm string
	// AKI and SKI are the key identifiers of issuer and subject in hex, "" if
	// the certificate has none.
	AKI, SKI string
	// Manufacturer, Model and Version are those of the TPM, from the
	// subjectAltName of an EK certificate (TCG EK Credential Profile 2.5,
	// 3.1.2), as written there ("id:53544D20"); "" if absent.
	Manufacturer, Model, Version string
	// Notes tell what was overlooked in reading: padding, a header.
	Notes []string
	// IssuerURLs are where the certificate says that its issuer's certificate
	// can be fetched (authorityInfoAccess, RFC 5280, 4.2.2.1); at most a few,
	// without control characters. Nobody vouches for them.
	IssuerURLs []string
	// Raw is the certificate as it stands there, without header and padding.
	Raw []byte

	issuer, subject name
	key             crypto.PublicKey
	keyErr          error // why key is nil
	datesErr        error // why NotBefore and NotAfter are zero
	tbs, signature  []byte
	signing         signing
	signingErr      error // why signing is empty
	version         int   // 1 to 3
	isCA            bool
	usage           []byte // keyUsage bits, nil if absent
}

// nvHeader begins a certificate as the TCG PC Client specification has TPMs
// store it: tag 1001, type 00 (full certificate), and a u16 length follows.
var nvHeader = [3]byte{0x10, 0x01, 0x00}

const nvHeaderSize = 5

// maxCertificate is the size in bytes of the largest certificate that is read.
// Those of EKs have 1 to 4 kB, and a TPM holds no more than 64 kB. The registrar
// keeps what an agent gives it: to write a serial number of 16 MB in decimal
// digits takes minutes.
const maxCertificate = 128 << 10

// ParseCertificate reads a certificate: DER, or what makers of TPMs take for
// it. Bytes after its end and the header of TPM memory before it are dropped
// and noted; unknown critical extensions and unknown usages are ignored; an
// unusable key, date or signature algorithm becomes an error only when it is
// needed. It fails if the outer structure or a name cannot be read, or if there
// are more than 128 KiB.
func ParseCertificate(data []byte) (*Certificate, error) {
	if len(data) > maxCertificate {
		return nil, fmt.Errorf("not a certificate: it has %d bytes, and none has more than %d", len(data), maxCertificate)
	}
	c := &Certificate{}
	if len(data) > nvHeaderSize && bytes.Equal(data[:len(nvHeader)], nvHeader[:]) {
		c.Notes = append(c.Notes, "a header of TPM memory precedes it")
		data = data[nvHeaderSize:]
	}
	outer, rest, err := readElement(data)
	if err != nil {
		return nil, fmt.Errorf("not a certificate: %w", err)
	}
	if len(rest) > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%d bytes follow its end", len(rest)))
	}
	parts, err := sequence(outer, "certificate")
	if err != nil {
		return nil, err
	}
	if len(parts) != 3 {
		return nil, fmt.Errorf("certificate has %d parts instead of 3", len(parts))
	}
	c.Raw, c.tbs = outer.full, parts[0].full
	if c.signature, err = bits(parts[2]); err != nil {
		return nil, fmt.Errorf("certificate's signature: %w", err)
	}
	if err := c.parseTBS(parts[0], parts[1]); err != nil {
		return nil, err
	}
	return c, nil
}

// parseTBS reads a TBSCertificate (RFC 5280, section 4.1).
func (c *Certificate) parseTBS(tbs, outerAlgorithm element) error {
	fields, err := sequence(tbs, "certificate's contents")
	if err != nil {
		return err
	}
	c.version = 1
	if len(fields) > 0 && fields[0].is(classContext, 0) {
		inner, _, err := readElement(fields[0].body)
		if err != nil {
			return fmt.Errorf("certificate's version: %w", err)
		}
		if n, err := integer(inner); err == nil && n.IsInt64() && n.Int64() >= 0 && n.Int64() <= 2 {
			c.version = int(n.Int64()) + 1
		}
		fields = fields[1:]
	}
	const serial, algorithm, issuer, validity, subject, key, options = 0, 1, 2, 3, 4, 5, 6
	if len(fields) < options {
		return errors.New("certificate's contents are incomplete")
	}
	if c.Serial, err = integer(fields[serial]); err != nil {
		return fmt.Errorf("certificate's serial number: %w", err)
	}
	if c.Serial.Sign() < 0 {
		c.Notes = append(c.Notes, "its serial number is negative")
	}
	if c.issuer, err = parseName(fields[issuer]); err != nil {
		return fmt.Errorf("certificate's issuer: %w", err)
	}
	if c.subject, err = parseName(fields[subject]); err != nil {
		return fmt.Errorf("certificate's subject: %w", err)
	}
	c.Issuer, c.Subject = c.issuer.text, c.subject.text
	c.NotBefore, c.NotAfter, c.datesErr = parseValidity(fields[validity])
	c.key, c.keyErr = parseKey(fields[key])
	c.Algorithm = keyAlgorithm(c.key)
	c.signing, c.signingErr = parseSigning(fields[algorithm])
	inner, _, innerErr := algorithmOf(fields[algorithm])
	outer, _, outerErr := algorithmOf(outerAlgorithm)
	if innerErr != nil || outerErr != nil || inner != outer {
		return errors.New("certificate names two different signature algorithms")
	}
	for _, field := range fields[options:] {
		if field.is(classContext, 3) {
			c.parseExtensions(field)
		}
	}
	return nil
}

// parseValidity reads the two dates.
func parseValidity(e element) (notBefore, notAfter time.Time, err error) {
	dates, err := sequence(e, "validity")
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	if len(dates) != 2 {
		return time.Time{}, time.Time{}, errors.New("validity has not two dates")
	}
	if notBefore, err = parseDate(dates[0]); err != nil {
		return time.Time{}, time.Time{}, err
	}
	notAfter, err = parseDate(dates[1])
	return notBefore, notAfter, err
}

// parseDate reads UTCTime and GeneralizedTime, with or without seconds.
func parseDate(e element) (time.Time, error) {
	const utcTime, generalizedTime = 23, 24
	layouts := []string{"20060102150405Z0700", "20060102150405.999Z0700", "200601021504Z0700"}
	if e.is(classUniversal, utcTime) {
		layouts = []string{"060102150405Z0700", "0601021504Z0700"}
	} else if !e.is(classUniversal, generalizedTime) {
		return time.Time{}, errors.New("a date is of an unknown kind")
	}
	for _, layout := range layouts {
		date, err := time.Parse(layout, string(e.body))
		if err != nil {
			continue
		}
		if e.tag == utcTime && date.Year() >= 2050 { // RFC 5280, section 4.1.2.5.1
			date = date.AddDate(-100, 0, 0)
		}
		return date, nil
	}
	return time.Time{}, fmt.Errorf("the date %q cannot be read", printable(string(e.body)))
}

// keyID is a key identifier for people.
func keyID(data []byte) string {
	const limit = 64 // octets; SHA-1 has 20
	return hex.EncodeToString(data[:min(len(data), limit)])
}
