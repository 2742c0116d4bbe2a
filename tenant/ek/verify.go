// Package ek reads endorsement keys and verifies that a maker of TPMs vouches
// for them: EK certificates, the store of certificates they are held against,
// and the operator's own script (PROTOCOL.md section 9; TCG EK Credential
// Profile 2.5; RFC 5280).
//
// It trusts every certificate of the store, root or intermediate, and nothing
// else. It reads certificates that are not strictly DER. It asks for no
// revocation lists, as upstream does not.
package ek

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Options say how an EK certificate is checked.
type Options struct {
	// Now is the time at which certificates must be valid; zero: the present.
	Now time.Time
	// Compat accepts what the Python tenant accepts; see [Store.Verify].
	Compat bool
}

// Verified is an EK certificate that a certificate of the store vouches for.
// Only [Store.Verify] makes one that is not empty.
type Verified struct {
	certificate *Certificate
	anchor      anchor
	waived      error
}

// Issuer is the name of the issuer, for people.
func (v Verified) Issuer() string { return v.certificate.Issuer }

// AnchorFile is the file of the store that holds the issuer's certificate.
func (v Verified) AnchorFile() string { return v.anchor.path }

// Certificate is the EK certificate.
func (v Verified) Certificate() *Certificate { return v.certificate }

// Waived is the check that did not pass and that only [Options].Compat let
// pass, a *[VerificationError]; nil if all have passed. The caller warns.
func (v Verified) Waived() error { return v.waived }

// Verify checks an EK certificate (DER, or what TPMs hold; see
// [ParseCertificate]) against the registered EK (TPM2B_PUBLIC) and the store.
// The error is always a *[VerificationError] that names the check:
//
//   - there is a certificate, and it can be read;
//   - the registered EK can be read, and the certificate is for it;
//   - the store holds a certificate whose subject is the certificate's issuer
//     by the values of its attributes (string types and order within a set do
//     not count), and whose key has signed the certificate, not with SHA-1;
//   - that certificate may sign others (basic constraints, key usage);
//   - both are valid at the time of [Options].Now.
//
// Since every certificate of the store is an anchor, as with OpenSSL's
// -partial_chain, the issuer's certificate ends the chain: a longer one
// through the store would need this first link all the same. If several
// certificates bear the issuer's name, one that passes is enough.
//
// With Compat the upstream rule is enough: an issuer of that name whose key
// has signed, SHA-1 allowed; [Verified.Waived] tells what did not pass.
//
// Not checked, as no TPM certificate could be relied on to have it right:
// extended key usage, policies, the key usage of the EK certificate itself.
func (s *Store) Verify(certDER, ekTPM []byte, o Options) (Verified, error) {
	if len(certDER) == 0 {
		return Verified{}, s.refuse(CheckNoCertificate, nil, errors.New("the registrar holds no EK certificate"))
	}
	return s.verify(certDER, o, func(c *Certificate) *VerificationError { return s.matches(c, ekTPM) })
}

// VerifyCertificate makes the checks of [Store.Verify] on a certificate for
// whose EK there is no other source than itself: whether it belongs to a TPM in
// question is left open. The caller says so.
func (s *Store) VerifyCertificate(certDER []byte, o Options) (Verified, error) {
	return s.verify(certDER, o, func(c *Certificate) *VerificationError {
		if c.keyErr != nil {
			return s.refuse(CheckCertificate, c, fmt.Errorf("the certificate's key: %w", c.keyErr))
		}
		return nil
	})
}

// verify makes the checks; matches holds the certificate against the EK.
func (s *Store) verify(certDER []byte, o Options, matches func(*Certificate) *VerificationError) (Verified, error) {
	c, err := ParseCertificate(certDER)
	if err != nil {
		return Verified{}, s.refuse(CheckCertificate, nil, err)
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	failure := matches(c)
	var issuer anchor
	if failure == nil {
		issuer, failure = s.strict(c, o.Now)
	}
	if failure == nil {
		return Verified{certificate: c, anchor: issuer}, nil
	}
	if !o.Compat {
		return Verified{}, failure
	}
	issuers, lenient := s.issuersOf(c, true)
	if lenient != nil {
		return Verified{}, lenient
	}
	return Verified{certificate: c, anchor: issuers[0], waived: failure}, nil
}

// matches holds a certificate against the registered EK.
func (s *Store) matches(c *Certificate, ekTPM []byte) *VerificationError {
	public, err := ParsePublic(ekTPM)
	if err != nil {
		return s.refuse(CheckPublic, c, err)
	}
	if c.keyErr != nil {
		return s.refuse(CheckKeyMatch, c, fmt.Errorf("the certificate's key: %w", c.keyErr))
	}
	if !equalKeys(c.key, public.Key) {
		return s.refuse(CheckKeyMatch, c, fmt.Errorf("the certificate is for another key (%s) than the registered EK (%s)", c.Algorithm, public.Algorithm()))
	}
	return nil
}

// strict makes the checks of the chain.
func (s *Store) strict(c *Certificate, now time.Time) (anchor, *VerificationError) {
	issuers, failure := s.issuersOf(c, false)
	if failure != nil {
		return anchor{}, failure
	}
	for _, issuer := range issuers {
		switch {
		case !issuer.maySign():
			failure = s.refuse(CheckIssuer, c, fmt.Errorf("the issuer's certificate in %s may not sign others", issuer.path))
		case issuer.validAt(now) != nil:
			failure = s.refuse(CheckDates, c, fmt.Errorf("the issuer's certificate in %s %w", issuer.path, issuer.validAt(now)))
		case c.validAt(now) != nil:
			failure = s.refuse(CheckDates, c, fmt.Errorf("the EK certificate %w", c.validAt(now)))
		default:
			return issuer, nil
		}
	}
	return anchor{}, failure
}

// issuersOf are the certificates of the store that bear the issuer's name and
// whose key has signed c: at least one, or a failure.
func (s *Store) issuersOf(c *Certificate, weak bool) ([]anchor, *VerificationError) {
	if s.count == 0 {
		return nil, s.refuse(CheckStore, c, errors.New("the store holds no certificate that can be used"))
	}
	named := s.bySub[c.issuer.canonical]
	if len(named) == 0 {
		return nil, s.refuse(CheckChain, c, errors.New("the store holds no certificate of the issuer"))
	}
	var issuers []anchor
	var cause error
	for _, issuer := range named {
		err := issuer.keyErr
		if err == nil {
			err = c.signedBy(issuer.key, weak)
		}
		if err == nil {
			issuers = append(issuers, issuer)
		} else {
			cause = fmt.Errorf("the certificate of that name in %s has not signed it: %w", issuer.path, err)
		}
	}
	if len(issuers) == 0 {
		return nil, s.refuse(CheckSignature, c, cause)
	}
	return issuers, nil
}

// validAt says why a certificate is not valid at a time, nil if it is.
func (c *Certificate) validAt(now time.Time) error {
	const layout = "2006-01-02 15:04:05 MST"
	switch {
	case c.datesErr != nil:
		return fmt.Errorf("has unusable dates: %w", c.datesErr)
	case now.Before(c.NotBefore):
		return fmt.Errorf("is not valid before %s", c.NotBefore.UTC().Format(layout))
	case now.After(c.NotAfter):
		return fmt.Errorf("has expired at %s", c.NotAfter.UTC().Format(layout))
	}
	return nil
}

// refuse makes the error of a check; c is nil if it could not be read.
func (s *Store) refuse(check Check, c *Certificate, err error) *VerificationError {
	e := &VerificationError{Check: check, StoreDir: s.dir, Loaded: s.count, Files: slices.Clone(s.files), SkippedFiles: s.Skipped(), Err: err}
	if c != nil {
		e.Issuer, e.AKI, e.IssuerURLs = c.Issuer, c.AKI, c.IssuerURLs
	}
	return e
}
