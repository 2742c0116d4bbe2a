package ek

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Anchor is a certificate of a store and the file that holds it.
type Anchor struct {
	Certificate *Certificate
	Path        string
}

// Anchors are the certificates of the store, ordered by file.
func (s *Store) Anchors() []Anchor {
	var all []Anchor
	for _, named := range s.bySub {
		for _, one := range named {
			all = append(all, Anchor{one.Certificate, one.path})
		}
	}
	slices.SortStableFunc(all, func(a, b Anchor) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return strings.Compare(a.Certificate.Fingerprint(), b.Certificate.Fingerprint())
	})
	return all
}

// What can be wrong with a certificate that is to be trusted.
var (
	// ErrIsEK: it is the certificate of an EK, which vouches for nobody.
	ErrIsEK = errors.New("it is the certificate of a TPM's EK, and not of an authority that signs such certificates")
	// ErrNotAuthority: it may not sign others.
	ErrNotAuthority = errors.New("it is not the certificate of an authority: by its basic constraints or key usage it may not sign others")
	// ErrUnusableKey: its key is of a kind that cannot be used here.
	ErrUnusableKey = errors.New("its key cannot be used here")
)

// CheckAuthority says whether a certificate can vouch for EKs at all. Errors
// wrap [ErrIsEK], [ErrNotAuthority] or [ErrUnusableKey]. Dates are not checked.
func CheckAuthority(c *Certificate) error {
	switch {
	case c.keyErr != nil:
		return fmt.Errorf("%w: %w", ErrUnusableKey, c.keyErr)
	case c.maySign():
		return nil
	case c.Manufacturer != "" || c.Subject == "":
		return ErrIsEK
	}
	return ErrNotAuthority
}

// AddTrust puts a certificate into a store: a file of its own, since Keylime
// reads the first certificate of each only, named after subject and
// fingerprint. The directory is made if it is absent. If the store has the
// certificate already, nothing is done, and known is true; path is the file
// that has it.
//
// It does not ask whether the certificate deserves trust (the caller has
// decided that), nor whether it can vouch for anybody, see [CheckAuthority].
func AddTrust(dir string, c *Certificate) (path string, known bool, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", false, fmt.Errorf("the store %s: %w", dir, cause(err))
	}
	unlock, err := lock(filepath.Join(dir, "x"))
	if err != nil {
		return "", false, fmt.Errorf("the store %s: %w", dir, cause(err))
	}
	defer unlock()
	s, err := LoadStore(dir)
	if err != nil {
		return "", false, err
	}
	for _, have := range s.Anchors() {
		if bytes.Equal(have.Certificate.Raw, c.Raw) {
			return have.Path, true, nil
		}
	}
	path = filepath.Join(dir, FileName(c))
	if err := replace(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})); err != nil {
		return "", false, fmt.Errorf("writing %s: %w", path, cause(err))
	}
	return path, false, nil
}

// FileName is the name of a certificate's file in a store:
// "Infineon-OPTIGA-TM-RSA-Manufacturing-CA-042-1f0a22d3.pem".
func FileName(c *Certificate) string {
	name := commonName(c.Subject)
	var b strings.Builder
	for _, r := range name {
		switch {
		case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 60 {
			break
		}
	}
	stem := strings.Trim(b.String(), "-")
	if stem == "" {
		stem = "certificate"
	}
	return stem + "-" + c.Fingerprint()[:shortHash] + ".pem"
}

// commonName is the CN of a name for people, else all of it.
func commonName(text string) string {
	for _, part := range strings.Split(text, ", ") {
		if cn, found := strings.CutPrefix(part, "CN="); found {
			return cn
		}
	}
	return text
}

// RemoveTrust takes a certificate out of a store. which names it: the name of
// its file, the first digits (8 or more) of its fingerprint, or its subject or
// common name. From a file with several certificates only that one is cut, and
// everything else stays as it is.
//
// Errors: a *[VerificationError] of [CheckStore] if there is no store, one that
// is fs.ErrNotExist if no certificate fits; else that more than one fits, or
// those of the system.
func RemoveTrust(dir, which string) (Anchor, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return Anchor{}, &VerificationError{Check: CheckStore, StoreDir: dir, Err: cause(err)}
	}
	unlock, err := lock(filepath.Join(dir, "x"))
	if err != nil {
		return Anchor{}, fmt.Errorf("the store %s: %w", dir, cause(err))
	}
	defer unlock()
	s, err := LoadStore(dir)
	if err != nil {
		return Anchor{}, err
	}
	gone, err := s.pick(which)
	if err != nil {
		return Anchor{}, err
	}
	text, err := readFile(gone.Path)
	if err != nil {
		return Anchor{}, fmt.Errorf("%s: %w", gone.Path, cause(err))
	}
	left := cutCertificate(text, gone.Certificate)
	if left == nil {
		err = os.Remove(gone.Path)
	} else {
		err = replace(gone.Path, left)
	}
	if err != nil {
		return Anchor{}, fmt.Errorf("%s: %w", gone.Path, cause(err))
	}
	return gone, nil
}

// pick finds the one certificate that is meant.
func (s *Store) pick(which string) (Anchor, error) {
	digits := hexDigits(which)
	tests := []func(Anchor) bool{
		func(a Anchor) bool { return a.Path == which || filepath.Base(a.Path) == which },
		func(a Anchor) bool {
			return len(digits) >= shortHash && strings.HasPrefix(a.Certificate.Fingerprint(), digits)
		},
		func(a Anchor) bool {
			return a.Certificate.Subject == which || commonName(a.Certificate.Subject) == which
		},
	}
	for _, fits := range tests {
		var found []Anchor
		for _, a := range s.Anchors() {
			if fits(a) {
				found = append(found, a)
			}
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			return found[0], nil
		}
		var prints []string
		for _, a := range found {
			prints = append(prints, fmt.Sprintf("%s (%s)", filepath.Base(a.Path), a.Certificate.Fingerprint()[:16]))
		}
		return Anchor{}, fmt.Errorf("%s fits %d certificates in %s: %s; name one by its file or its fingerprint",
			shortened(which), len(found), s.dir, strings.Join(prints, ", "))
	}
	return Anchor{}, &absentError{fmt.Sprintf("none of the %s in %s has the file name, subject or fingerprint %s", count(s.count, "certificate"), s.dir, shortened(which))}
}

// absentError: what was asked for is not there; errors.Is(err, fs.ErrNotExist).
type absentError struct{ text string }

func (e *absentError) Error() string        { return e.text }
func (e *absentError) Is(target error) bool { return target == fs.ErrNotExist }

// cutCertificate is a file's text without one certificate; nil if no PEM block
// is left then.
func cutCertificate(text []byte, c *Certificate) []byte {
	var left []byte
	blocks, rest := 0, text
	for {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		piece := rest[:len(rest)-len(after)]
		same := false
		if block.Type == "CERTIFICATE" {
			if read, err := ParseCertificate(block.Bytes); err == nil {
				same = bytes.Equal(read.Raw, c.Raw)
			}
		}
		if !same {
			left = append(left, piece...)
			blocks++
		}
		rest = after
	}
	if blocks == 0 {
		return nil
	}
	return append(left, rest...)
}
