package ek_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

const evidence = "../../testdata/evidence/"

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(evidence + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tlv is a DER value of definite, shortest length.
func tlv(tag byte, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	n := len(body)
	switch {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, body...)
	case n < 0x100:
		return append([]byte{tag, 0x81, byte(n)}, body...)
	}
	return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...)
}

func oidOf(arcs ...int) []byte {
	der, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		panic(err)
	}
	return der
}

// Tags of the builder.
const (
	tagBool, tagInt, tagBits, tagOctets, tagNull, tagUTF8, tagPrintable, tagUTC, tagGeneralized = 1, 2, 3, 4, 5, 12, 19, 23, 24
	tagSeq, tagSet                                                                              = 0x30, 0x31
)

// rdn is a set of attributes with strings of one type.
func rdn(stringTag byte, pairs ...string) []byte {
	var members [][]byte
	for i := 0; i < len(pairs); i += 2 {
		arc := map[string]int{"CN": 3, "C": 6, "O": 10}[pairs[i]]
		members = append(members, tlv(tagSeq, oidOf(2, 5, 4, arc), tlv(stringTag, []byte(pairs[i+1]))))
	}
	return tlv(tagSet, members...)
}

func algorithm(parameters []byte, arcs ...int) []byte { return tlv(tagSeq, oidOf(arcs...), parameters) }

func sha256RSA() []byte   { return algorithm([]byte{tagNull, 0}, 1, 2, 840, 113549, 1, 1, 11) }
func sha1RSA() []byte     { return algorithm([]byte{tagNull, 0}, 1, 2, 840, 113549, 1, 1, 5) }
func sha256ECDSA() []byte { return algorithm(nil, 1, 2, 840, 10045, 4, 3, 2) }

func utc(text string) []byte { return tlv(tagUTC, []byte(text)) }

// spec is a certificate to be built, field by field.
type spec struct {
	version                  []byte // with its tag; nil: absent, so version 1
	serial                   []byte
	algorithm, outer         []byte // outer nil: the same
	issuer, subject          []byte
	notBefore, notAfter, key []byte
	extensions               [][]byte
	pss                      bool
	wrap                     func(tbs []byte) []byte // another encoding of the contents
	hash                     crypto.Hash
}

// extension of id 2.5.29.n.
func extension(n int, critical bool, value []byte) []byte {
	var flag []byte
	if critical {
		flag = tlv(tagBool, []byte{0xff})
	}
	return tlv(tagSeq, oidOf(2, 5, 29, n), flag, tlv(tagOctets, value))
}

// sign builds the certificate.
func (s spec) sign(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	var extensions []byte
	if s.extensions != nil {
		extensions = tlv(0xa3, tlv(tagSeq, s.extensions...))
	}
	tbs := tlv(tagSeq, s.version, tlv(tagInt, s.serial), s.algorithm, s.issuer, tlv(tagSeq, s.notBefore, s.notAfter), s.subject, s.key, extensions)
	if s.wrap != nil {
		tbs = s.wrap(tbs)
	}
	h := s.hash.New()
	h.Write(tbs)
	digest := h.Sum(nil)
	var signature []byte
	var err error
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if s.pss {
			signature, err = rsa.SignPSS(rand.Reader, key, s.hash, digest, nil)
		} else {
			signature, err = rsa.SignPKCS1v15(nil, key, s.hash, digest)
		}
	case *ecdsa.PrivateKey:
		signature, err = ecdsa.SignASN1(rand.Reader, key, digest)
	}
	if err != nil {
		t.Fatal(err)
	}
	outer := s.outer
	if outer == nil {
		outer = s.algorithm
	}
	return tlv(tagSeq, tbs, outer, tlv(tagBits, []byte{0}, signature))
}

func spkiOf(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// The keys of the tests: an ECC one made once, and a recorded RSA one.
var eccKey = sync.OnceValues(func() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })

func caKeys(t testing.TB) (ecc *ecdsa.PrivateKey, rsaKey *rsa.PrivateKey) {
	t.Helper()
	ecc, err := eccKey()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(read(t, "sb-on/nk_private.pem"))
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return ecc, key.(*rsa.PrivateKey)
	}
	rsaKey, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return ecc, rsaKey
}

// world is a CA and an EK certificate by it, both about to be spoiled.
type world struct {
	ca, ek     spec
	caKey      crypto.Signer // signs both
	tpm2b, der []byte        // der, if set, is the EK certificate as sent
	raw        func(der []byte) []byte
	now        time.Time
	compat     bool
	files      map[string][]byte // the store; nil: the CA in ca.pem
}

func present() time.Time { return time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC) }

// newWorld is one in which all is well. The CA's key is ECC.
func newWorld(t testing.TB) *world {
	t.Helper()
	key, _ := caKeys(t)
	name := tlv(tagSeq, rdn(tagPrintable, "C", "XX"), rdn(tagUTF8, "O", "Maker of TPMs"), rdn(tagUTF8, "CN", "EK CA 1"))
	block, _ := pem.Decode(read(t, "sb-on/ek_pub.pem"))
	v3 := tlv(0xa0, tlv(tagInt, []byte{2}))
	directory := tlv(0xa4, tlv(tagSeq, tlv(tagSet, tlv(tagSeq, oidOf(2, 23, 133, 2, 1), tlv(tagUTF8, []byte("id:4B4C4D45"))))))
	return &world{
		caKey: key,
		ca: spec{version: v3, serial: []byte{1}, algorithm: sha256ECDSA(), issuer: name, subject: name,
			notBefore: utc("200101000000Z"), notAfter: utc("300101000000Z"), key: spkiOf(t, key.Public()), hash: crypto.SHA256,
			extensions: [][]byte{
				extension(19, true, tlv(tagSeq, tlv(tagBool, []byte{0xff}))),
				extension(15, true, tlv(tagBits, []byte{1, 0x06})),
				extension(14, false, tlv(tagOctets, []byte{0xca, 0x01})),
			}},
		ek: spec{version: v3, serial: []byte{0x20}, algorithm: sha256ECDSA(), issuer: name, subject: tlv(tagSeq),
			notBefore: utc("240101000000Z"), notAfter: tlv(tagGeneralized, []byte("99991231235959Z")), key: block.Bytes, hash: crypto.SHA256,
			extensions: [][]byte{
				extension(17, true, tlv(tagSeq, directory)),
				extension(35, false, tlv(tagSeq, tlv(0x80, []byte{0xca, 0x01}))),
				extension(37, true, tlv(tagSeq, oidOf(2, 23, 133, 8, 1))),
				extension(99, true, []byte{1, 2, 3}),
			}},
		tpm2b: read(t, "sb-on/ek_tpm2b_public.bin"),
		now:   present(),
	}
}

// verify builds store and certificate, and verifies.
func (w *world) verify(t testing.TB) (ek.Verified, error) {
	t.Helper()
	der := w.der
	if der == nil {
		der = w.ek.sign(t, w.caKey)
		if w.raw != nil {
			der = w.raw(der)
		}
	}
	files := w.files
	if files == nil {
		files = map[string][]byte{"ca.pem": certPEM(w.ca.sign(t, w.caKey))}
	}
	store := storeOf(t, files)
	return store.Verify(der, w.tpm2b, ek.Options{Now: w.now, Compat: w.compat})
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// storeOf writes files into a directory and loads it.
func storeOf(t testing.TB, files map[string][]byte) *ek.Store {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store, err := ek.LoadStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	return store
}
