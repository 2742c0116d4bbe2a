// Package ek reads endorsement keys and verifies their certificates.
package ek

import (
	"crypto"
	"errors"
	"time"
)

// Public is an endorsement key's public part.
type Public struct {
	// Raw is the TPM2B_PUBLIC, PEM its key as SubjectPublicKeyInfo.
	Raw []byte
	PEM string
	Key crypto.PublicKey
}

// ParsePublic reads a TPM2B_PUBLIC.
func ParsePublic(tpm2b []byte) (Public, error) { return Public{}, errors.New("not written yet") }

// Hash is the SHA-256 of the PEM text in hex: the agent id with hash_ek.
func (p Public) Hash() string { return "" }

// Skipped is a file of a store that was not used, and why.
type Skipped struct {
	Path string
	Err  error
}

// Store is a directory of certificates that are trusted to vouch for EKs.
type Store struct{ dir string }

// LoadStore reads a store.
func LoadStore(dir string) (*Store, error) { return nil, errors.New("not written yet") }

// Skipped are the files that were not used.
func (s *Store) Skipped() []Skipped { return nil }

// Len is the number of certificates.
func (s *Store) Len() int { return 0 }

// Dir is the directory.
func (s *Store) Dir() string { return s.dir }

// Options say how an EK certificate is checked.
type Options struct {
	// Now is the time at which certificates must be valid.
	Now time.Time
	// Compat checks as leniently as the Python tenant.
	Compat bool
}

// Verified is an EK certificate for which every check has passed.
type Verified struct {
	issuer string
	waived error
}

// Issuer is the name of the issuer.
func (v Verified) Issuer() string { return v.issuer }

// Waived is the strict check that did not pass and was waived by
// Options.Compat, a *VerificationError; nil if all passed.
func (v Verified) Waived() error { return v.waived }

// Verify checks an EK certificate.
func (s *Store) Verify(certDER, ekTPM []byte, o Options) (Verified, error) {
	return Verified{}, errors.New("not written yet")
}
