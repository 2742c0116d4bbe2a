package ek_test

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"path/filepath"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

// recordedCertificates are all certificates of the recordings.
func recordedCertificates(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, pattern := range []string{"*/ek_cert.der", "*/ek_ecc_p384_cert.der", "*/platform_cert.der"} {
		files, err := filepath.Glob(evidence + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			name, err := filepath.Rel(evidence, file)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = read(t, filepath.ToSlash(name))
		}
	}
	rest := read(t, "sb-on/ek_ca_chain.pem")
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all
		}
		all["chain "+hex.EncodeToString(block.Bytes[:8])+hex.EncodeToString(block.Bytes[len(block.Bytes)-4:])] = block.Bytes
	}
}

// sameAsX509 holds what this package has read against crypto/x509.
func sameAsX509(t *testing.T, c *ek.Certificate, want *x509.Certificate) {
	t.Helper()
	if c.Serial.Cmp(want.SerialNumber) != 0 || !c.NotBefore.Equal(want.NotBefore) || !c.NotAfter.Equal(want.NotAfter) {
		t.Errorf("serial %v, %v to %v; want %v, %v to %v", c.Serial, c.NotBefore, c.NotAfter, want.SerialNumber, want.NotBefore, want.NotAfter)
	}
	if c.AKI != hex.EncodeToString(want.AuthorityKeyId) || c.SKI != hex.EncodeToString(want.SubjectKeyId) {
		t.Errorf("AKI %s, SKI %s; want %x, %x", c.AKI, c.SKI, want.AuthorityKeyId, want.SubjectKeyId)
	}
}

func TestCertificateAgreesWithX509(t *testing.T) {
	t.Parallel()
	for name, der := range recordedCertificates(t) {
		want, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c, err := ek.ParseCertificate(der)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sameAsX509(t, c, want)
		if c.Issuer != "CN="+want.Issuer.CommonName || c.Subject != "CN="+want.Subject.CommonName {
			t.Errorf("%s: issuer %s, subject %s", name, c.Issuer, c.Subject)
		}
	}
}

// TestCertificateRefuses: what has no readable contents is an error, cut off
// wherever.
func TestCertificateRefuses(t *testing.T) {
	t.Parallel()
	der := read(t, "sb-on/ek_cert.der")
	for i := range der {
		if c, err := ek.ParseCertificate(der[:i]); err == nil {
			t.Fatalf("%d of %d bytes are enough: %+v", i, len(der), c)
		}
	}
	integer, empty := []byte{tagInt, 1, 1}, tlv(tagSeq)
	for name, bad := range map[string][]byte{
		"all ff":                 bytes.Repeat([]byte{0xff}, 100),
		"all zero":               make([]byte, 100),
		"not a sequence":         integer,
		"an empty sequence":      empty,
		"parts of wrong type":    tlv(tagSeq, integer, integer, integer),
		"empty contents":         tlv(tagSeq, empty, empty, tlv(tagBits, []byte{0})),
		"a long tag":             {0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0},
		"a long tag, cut":        {0x3f, 0x81},
		"a huge length":          {0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a length of 9 octets":   {0x30, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"indefinite without end": {0x30, 0x80, 1, 1, 1},
		"indefinite, primitive":  {0x04, 0x80, 0, 0},
		"deep":                   bytes.Repeat([]byte{0x30, 0x80}, 1000),
	} {
		if c, err := ek.ParseCertificate(bad); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// TestSpoiledContents: each required field, replaced by nonsense.
func TestSpoiledContents(t *testing.T) {
	t.Parallel()
	nonsense := []byte{tagNull, 0}
	for name, spoil := range map[string]func(s *spec){
		"serial":               func(s *spec) { s.serial = nil },
		"algorithm":            func(s *spec) { s.algorithm = nonsense },
		"algorithm empty":      func(s *spec) { s.algorithm = tlv(tagSeq) },
		"algorithm without id": func(s *spec) { s.algorithm = tlv(tagSeq, nonsense) },
		"issuer":               func(s *spec) { s.issuer = nonsense },
		"issuer without sets":  func(s *spec) { s.issuer = tlv(tagSeq, nonsense) },
		"issuer's attribute":   func(s *spec) { s.issuer = tlv(tagSeq, tlv(tagSet, nonsense)) },
		"issuer's pair":        func(s *spec) { s.issuer = tlv(tagSeq, tlv(tagSet, tlv(tagSeq, oidOf(2, 5, 4, 3)))) },
		"issuer's type":        func(s *spec) { s.issuer = tlv(tagSeq, tlv(tagSet, tlv(tagSeq, nonsense, nonsense))) },
		"subject":              func(s *spec) { s.subject = nonsense },
		"version":              func(s *spec) { s.version = tlv(0xa0) },
		"missing fields":       func(s *spec) { s.subject, s.key, s.extensions = nil, nil, nil },
		"outer algorithm":      func(s *spec) { s.outer = nonsense },
	} {
		w := newWorld(t)
		spoil(&w.ek)
		if c, err := ek.ParseCertificate(w.ek.sign(t, w.caKey)); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// TestUnusableKeys: a certificate with such a key is read, but vouches for
// nothing.
func TestUnusableKeys(t *testing.T) {
	t.Parallel()
	rsaAlgorithm, eccID := algorithm(nil, 1, 2, 840, 113549, 1, 1, 1), []int{1, 2, 840, 10045, 2, 1}
	bitsOf := func(parts ...[]byte) []byte { return tlv(tagBits, append([][]byte{{0}}, parts...)...) }
	integer := func(b ...byte) []byte { return tlv(tagInt, b) }
	for name, key := range map[string][]byte{
		"nothing":                {tagNull, 0},
		"one part":               tlv(tagSeq, rsaAlgorithm),
		"no bits":                tlv(tagSeq, rsaAlgorithm, tlv(tagNull)),
		"RSA: nothing":           tlv(tagSeq, rsaAlgorithm, bitsOf()),
		"RSA: modulus alone":     tlv(tagSeq, rsaAlgorithm, bitsOf(tlv(tagSeq, integer(9)))),
		"RSA: modulus zero":      tlv(tagSeq, rsaAlgorithm, bitsOf(tlv(tagSeq, integer(0), integer(3)))),
		"RSA: exponent 1":        tlv(tagSeq, rsaAlgorithm, bitsOf(tlv(tagSeq, integer(9), integer(1)))),
		"RSA: exponent too long": tlv(tagSeq, rsaAlgorithm, bitsOf(tlv(tagSeq, integer(9), integer(1, 1, 1, 1, 1)))),
		"ECC: no curve":          tlv(tagSeq, algorithm(nil, eccID...), bitsOf()),
		"ECC: curve in full":     tlv(tagSeq, algorithm(tlv(tagSeq), eccID...), bitsOf()),
		"ECC: unknown curve":     tlv(tagSeq, algorithm(oidOf(1, 3, 36, 3, 3, 2, 8, 1, 1, 7), eccID...), bitsOf()),
		"ECC: no point of it":    tlv(tagSeq, algorithm(oidOf(1, 2, 840, 10045, 3, 1, 7), eccID...), bitsOf(bytes.Repeat([]byte{4}, 65))),
	} {
		w := newWorld(t)
		w.ek.key = key
		if _, err := w.verify(t); checkOf(t, err) != ek.CheckKeyMatch {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCertificateSize: an agent can register what it likes for its certificate.
func TestCertificateSize(t *testing.T) {
	t.Parallel()
	const largest = 128 << 10
	der := read(t, "sb-on/ek_cert.der")
	padded := append(bytes.Clone(der), make([]byte, largest-len(der))...)
	if _, err := ek.ParseCertificate(padded); err != nil {
		t.Errorf("%d bytes: %v", len(padded), err)
	}
	if _, err := ek.ParseCertificate(append(padded, 0)); err == nil || len(err.Error()) > 200 {
		t.Errorf("%d bytes: %.300v", len(padded)+1, err)
	}
	// A length that is negative in 32 bits.
	long := append([]byte{0x30, 0x85, 0x00, 0x80, 0x00, 0x00, 0x00}, make([]byte, 9<<20)...)
	if _, err := ek.ReadCertificates(long); err == nil {
		t.Error("a length beyond the end was read")
	}
}
