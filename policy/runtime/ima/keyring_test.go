package ima

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

func keys(t testing.TB) (*rsa.PrivateKey, *ecdsa.PrivateKey) {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return r, e
}

// signed makes a signature with its header.
func signed(t testing.TB, key crypto.Signer, hashID byte, hash crypto.Hash, id uint32, digest []byte) []byte {
	t.Helper()
	value, err := key.Sign(rand.Reader, digest, hash)
	if err != nil {
		t.Fatal(err)
	}
	sig := binary.BigEndian.AppendUint32([]byte{3, 2, hashID}, id)
	return append(binary.BigEndian.AppendUint16(sig, uint16(len(value))), value...)
}

func TestVectorSignature(t *testing.T) {
	t.Parallel()
	var v struct {
		Ring struct{ String string } `json:"ima_keyring"`
		Sig  struct{ Line string }   `json:"ima_sig_line"`
	}
	if err := json.Unmarshal(read(t, "../../../testdata/vectors/vectors.json"), &v); err != nil {
		t.Fatal(err)
	}
	var ring struct {
		PubKeys []string
		KeyIDs  []uint32
	}
	if err := json.Unmarshal([]byte(v.Ring.String), &ring); err != nil {
		t.Fatal(err)
	}
	var k Keyring
	for i, text := range ring.PubKeys {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ParsePublicKey(der)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := KeyID(key); err != nil || id != ring.KeyIDs[i] {
			t.Errorf("id of key %d: %d, want %d", i, id, ring.KeyIDs[i])
		}
		if err := k.Add("vector", der); err != nil {
			t.Fatal(err)
		}
	}
	if k.String() != v.Ring.String || k.Len() != 2 {
		t.Errorf("%s\nwant\n%s", &k, v.Ring.String)
	}
	e := collect(t, NewScanner(strings.NewReader(v.Sig.Line)))[0]
	if err := VerifyEntry(e, nil, &k); err != nil {
		t.Error(err)
	}
}

// TestVerifyEntry spoils one thing at a time.
func TestVerifyEntry(t *testing.T) {
	t.Parallel()
	r, ec := keys(t)
	var ring, other Keyring
	for _, key := range []crypto.Signer{r, ec} {
		if err := ring.AddKey(key.Public(), 0); err != nil {
			t.Fatal(err)
		}
	}
	rsaID, ecID := ring.IDs()[0], ring.IDs()[1]
	digest := sha256.Sum256([]byte("content"))
	good := signed(t, r, 4, crypto.SHA256, rsaID, digest[:])
	change := func(at int, to byte) []byte {
		s := bytes.Clone(good)
		s[at] = to
		return s
	}
	md5 := digest[:16]
	for _, c := range []struct {
		name, alg string
		digest    []byte
		sig       []byte
		want      error
	}{
		{"RSA", "sha256", digest[:], good, nil},
		{"portable", "sha256", digest[:], change(0, 5), nil},
		{"EC", "sha256", digest[:], signed(t, ec, 4, crypto.SHA256, ecID, digest[:]), nil},
		{"EC, SHA-1", "sha1", digest[:20], signed(t, ec, 2, crypto.SHA1, ecID, digest[:20]), nil},
		{"RSA, MD5", "md5", md5, signed(t, r, 1, crypto.MD5, rsaID, md5), nil},
		{"type", "sha256", digest[:], change(0, 1), ErrSignatureForm},
		{"version", "sha256", digest[:], change(1, 1), ErrSignatureForm},
		{"hash number", "sha256", digest[:], change(2, 3), ErrSignatureHash},
		{"another hash", "sha256", digest[:], change(2, 5), ErrSignatureHash},
		{"no such hash here", "streebog256", digest[:], change(2, 18), ErrSignatureHash},
		{"digest length", "sha256", digest[:31], good, ErrSignatureHash},
		{"key id", "sha256", digest[:], change(3, good[3]+1), ErrNoKey},
		{"length", "sha256", digest[:], good[:len(good)-1], ErrSignatureForm},
		{"short", "sha256", digest[:], good[:8], ErrSignatureForm},
		{"value", "sha256", digest[:], change(20, good[20]+1), ErrSignatureValue},
		{"digest", "sha256", append(bytes.Clone(digest[:31]), digest[31]+1), good, ErrSignatureValue},
		{"key of the other", "sha256", digest[:], signed(t, ec, 4, crypto.SHA256, rsaID, digest[:]), ErrSignatureValue},
	} {
		err := VerifyEntry(&Entry{Alg: []byte(c.alg), Digest: c.digest, Sig: c.sig}, &other, &ring)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if err := VerifyEntry(&Entry{Alg: []byte("sha256"), Digest: digest[:], Sig: good}); !errors.Is(err, ErrNoKey) {
		t.Errorf("no keyring: %v", err)
	}
}

// certificate makes a self-signed certificate with a subject key identifier.
func certificate(t testing.TB, key crypto.Signer, ski []byte) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ima"}, NotAfter: time.Now().Add(time.Hour), SubjectKeyId: ski}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// negativeSerial turns a serial number of one byte into a negative one, which
// crypto/x509 refuses; the signature breaks, which nobody asks about.
func negativeSerial(t testing.TB, der []byte) []byte {
	t.Helper()
	i := bytes.Index(der, []byte{2, 1, 1})
	if i < 0 {
		t.Fatal("no serial number")
	}
	bad := bytes.Clone(der)
	bad[i+2] = 0xff
	if _, err := x509.ParseCertificate(bad); err == nil {
		t.Fatal("certificate is still taken")
	}
	return bad
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	r, ec := keys(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	block := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	ski := []byte{9, 8, 7, 6, 1, 2, 3, 4}
	cert, ecCert := certificate(t, r, ski), certificate(t, ec, nil)
	rsaID, err := KeyID(r.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
		key  crypto.PublicKey
		id   uint32
	}{
		{"certificate", cert, r.Public(), 0x01020304},
		{"certificate, PEM", block("CERTIFICATE", cert), r.Public(), 0x01020304},
		{"certificate without identifier", ecCert, ec.Public(), 0},
		{"certificate that Go refuses", negativeSerial(t, cert), r.Public(), 0x01020304},
		{"the same without identifier", negativeSerial(t, ecCert), ec.Public(), 0},
		{"public key", der(x509.MarshalPKIXPublicKey(r.Public())), r.Public(), 0},
		{"public key, PEM", block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(ec.Public()))), ec.Public(), 0},
		{"PKCS #1 public", x509.MarshalPKCS1PublicKey(&r.PublicKey), r.Public(), 0},
		{"PKCS #1 public, PEM", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&r.PublicKey)), r.Public(), 0},
		{"PKCS #8", der(x509.MarshalPKCS8PrivateKey(r)), r.Public(), 0},
		{"PKCS #8, PEM", block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(ec))), ec.Public(), 0},
		{"PKCS #1", x509.MarshalPKCS1PrivateKey(r), r.Public(), 0},
		{"PKCS #1, PEM", append([]byte("Bag Attributes\n"), block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r))...), r.Public(), 0},
		{"SEC 1", der(x509.MarshalECPrivateKey(ec)), ec.Public(), 0},
		{"SEC 1, PEM, parameters before", append(block("EC PARAMETERS", []byte{5, 0}), block("EC PRIVATE KEY", der(x509.MarshalECPrivateKey(ec)))...), ec.Public(), 0},
		{"nothing", nil, nil, 0},
		{"text", []byte("6.1.0-56-amd64"), nil, 0},
		{"certificate and a byte", append(bytes.Clone(cert), 0), nil, 0},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte{1}), nil, 0},
		{"not what the block says", block("CERTIFICATE", []byte{1}), nil, 0},
	} {
		key, id, err := ParseKey(c.data)
		same := key == nil && c.key == nil
		if k, ok := key.(interface{ Equal(crypto.PublicKey) bool }); ok && c.key != nil {
			same = k.Equal(c.key)
		}
		if err != nil || !same || id != c.id {
			t.Errorf("%s: %T, %08x, %v", c.name, key, id, err)
		}
		var ring Keyring
		err = ring.Add("file", c.data)
		var refused *KeyError
		if c.key == nil && (!errors.As(err, &refused) || refused.Name != "file") || c.key != nil && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for name, data := range map[string][]byte{"certificate": certificate(t, ed, nil), "public key": der(x509.MarshalPKIXPublicKey(ed.Public())), "private key": der(x509.MarshalPKCS8PrivateKey(ed))} {
		var refused *KeyError
		if _, _, err := ParseKey(data); !errors.As(err, &refused) || !strings.Contains(err.Error(), "ed25519") {
			t.Errorf("Ed25519 %s: %v", name, err)
		}
	}
	if _, err := ParsePublicKey([]byte{1}); err == nil {
		t.Error("taken")
	}
	if _, err := ParsePublicKey(der(x509.MarshalPKIXPublicKey(ed.Public()))); err == nil {
		t.Error("taken")
	}
	// The id of a certificate wins over the computed one; 0 is computed.
	var ring Keyring
	if err := errors.Join(ring.Add("a", cert), ring.AddKey(r.Public(), 0), ring.AddKey(ec.Public(), 7)); err != nil {
		t.Fatal(err)
	}
	if ids := ring.IDs(); len(ids) != 3 || ids[0] != 0x01020304 || ids[1] != rsaID || ids[2] != 7 {
		t.Errorf("%x", ids)
	}
	if err := ring.AddKey(ed.Public(), 5); err == nil {
		t.Error("taken")
	}
	c := ring.Clone()
	c.Merge(&Keyring{})
	if err := c.AddKey(ec.Public(), 9); err != nil || ring.Len() != 3 || c.Len() != 4 {
		t.Errorf("%v: copy and original are not independent", err)
	}
	var none *Keyring
	if none.Len() != 0 || none.Key(1) != nil || none.IDs() != nil || none.String() != `{"pubkeys": [], "keyids": []}` {
		t.Error("a nil keyring")
	}
	if KeyType(r.Public()) != "RSA 2048" || KeyType(ec.Public()) != "EC P-384" || KeyType(ed.Public()) != "ed25519.PublicKey" {
		t.Error("types")
	}
}

// FuzzLists reads any bytes as either form: no panic, bounded memory, and what
// is a known entry in one form gives the same template data as its fields.
func FuzzLists(f *testing.F) {
	ascii, bin := lists(all())
	f.Add([]byte(ascii), false)
	f.Add(bin, true)
	for _, boot := range boots(f)[:1] {
		f.Add(read(f, boot+"/ima_ascii.txt")[:2000], false)
		f.Add(read(f, boot+"/ima_binary.bin")[:2000], true)
	}
	f.Fuzz(func(t *testing.T, data []byte, binaryForm bool) {
		var r Reader = NewScanner(bytes.NewReader(data))
		if binaryForm {
			r = NewBinaryScanner(bytes.NewReader(data))
		}
		replay, err := NewReplay(crypto.SHA256, nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; r.Scan(); n++ {
			e := r.Entry()
			if e.Known() == (e.Problem != nil) || n > len(data) {
				t.Fatalf("%+v", e)
			}
			replay.Extend(e, 20)
			if !e.Known() {
				continue
			}
			again := &Entry{Line: e.Line}
			if line, ok := asciiOf(e); ok {
				again.parse(line, make([]byte, 0, len(line)))
				if !again.Known() || !bytes.Equal(again.AppendTemplateData(nil), e.AppendTemplateData(nil)) {
					t.Fatalf("%q is %+v, not %+v", line, again, e)
				}
			}
			_, _ = ParseSignature(e.Sig)
			_, _, _ = ParseKey(e.Buf)
		}
		var format *FormatError
		if err := r.Err(); err != nil && !errors.As(err, &format) {
			t.Fatal(err)
		}
	})
}

// asciiOf writes an entry as the kernel would, unless its names hold what would
// be read otherwise.
func asciiOf(e *Entry) ([]byte, bool) {
	if bytes.ContainsAny(e.Alg, " :\n") || bytes.ContainsAny(e.Path, "\n") || e.kind == kindSig && e.SigProblem != nil || bytes.ContainsRune(e.Path, ' ') && e.kind >= kindSig {
		return nil, false
	}
	line := "10 " + hex.EncodeToString(e.TemplateHash) + " " + string(e.Template) + " "
	if e.kind != kindIMA {
		line += string(e.Alg) + ":"
	} else if len(e.Digest) != 20 && len(e.Digest) != 16 {
		return nil, false
	}
	line += hex.EncodeToString(e.Digest) + " " + string(e.Path)
	switch e.kind {
	case kindSig:
		line += " " + hex.EncodeToString(e.Sig)
	case kindBuf:
		line += " " + hex.EncodeToString(e.Buf)
	}
	return []byte(line), true
}

// FuzzParseKey looks for panics in what reads keys out of lists and files.
func FuzzParseKey(f *testing.F) {
	r, ec := keys(f)
	cert := certificate(f, r, []byte{1, 2, 3, 4})
	f.Add(cert)
	f.Add(negativeSerial(f, cert))
	f.Add(certificate(f, ec, nil))
	f.Add(read(f, "../../../testdata/golden/fixtures/ec.pub"))
	f.Add(read(f, "../../../testdata/golden/fixtures/rsa.pub"))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, _, err := ParseKey(data)
		if key != nil && err != nil {
			t.Fatal("a key and an error")
		}
		var rest asn1.RawValue
		if left, err := asn1.Unmarshal(data, &rest); key != nil && err == nil && len(left) > 0 && rest.Tag == asn1.TagSequence && !bytes.Contains(data, []byte("-----")) {
			t.Fatal("bytes after a key are not seen")
		}
		var ring Keyring
		if ring.Add("x", data) == nil && ring.Len() != 1 {
			t.Fatal("added, and not there")
		}
	})
}

// BenchmarkScan reads a list of ima-ng entries.
func BenchmarkScan(b *testing.B) {
	line := "10 4c68b17f29b5b18e86b4cdfc8cce464b3053c558 ima-ng sha256:" + strings.Repeat("5a", 32) + " /usr/lib/x86_64-linux-gnu/libsomething.so.6\n"
	list := []byte(strings.Repeat(line, 100_000))
	b.SetBytes(int64(len(list)))
	b.ReportAllocs()
	s := NewScanner(nil)
	for b.Loop() {
		for s.Reset(bytes.NewReader(list), 0); s.Scan(); {
		}
	}
}

// fakePrivate is a private RSA key in PKCS #1 of which only the arithmetic is
// right: its factors are no primes.
func fakePrivate(t *testing.T, bits uint) []byte {
	t.Helper()
	one := big.NewInt(1)
	odd := func() *big.Int {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(one, bits/2))
		if err != nil {
			t.Fatal(err)
		}
		return n.SetBit(n.SetBit(n, int(bits/2)-1, 1), 0, 1)
	}
	for {
		p, q, e := odd(), odd(), big.NewInt(65537)
		p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
		d, inverse := new(big.Int).ModInverse(e, new(big.Int).Mul(p1, q1)), new(big.Int).ModInverse(q, p)
		if d == nil || inverse == nil {
			continue
		}
		der, err := asn1.Marshal(struct {
			Version                  int
			N, E, D, P, Q, Dp, Dq, I *big.Int
		}{0, new(big.Int).Mul(p, q), e, d, p, q, new(big.Int).Mod(d, p1), new(big.Int).Mod(d, q1), inverse})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
}

// TestHugePrivateKey: what a machine puts into its list is not computed with for
// days: a private key of 150 kB took six seconds, one of 64 MiB takes two weeks.
func TestHugePrivateKey(t *testing.T) {
	t.Parallel()
	if key, _, err := ParseKey(fakePrivate(t, 16384)); key == nil || err != nil {
		t.Errorf("16384 bits: %v, %v", key, err)
	}
	huge := fakePrivate(t, 32768)
	for name, data := range map[string][]byte{"DER": huge, "PEM": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: huge})} {
		if key, _, err := ParseKey(data); key != nil || err != nil {
			t.Errorf("%s of %d bytes: a key (%v)", name, len(data), err)
		}
	}
}

// TestP192: a curve that Keylime takes, and no library of ours has, is named.
func TestP192(t *testing.T) {
	t.Parallel()
	// Made by openssl ecparam -name prime192v1 for this test alone.
	for _, text := range []string{`-----BEGIN PUBLIC KEY-----
MEkwEwYHKoZIzj0CAQYIKoZIzj0DAQEDMgAE/x/QKFNGQyH5YXc89QiDA46LRThx
VUP0qKdDr4fGwGXUfTJgtmo/IJQbV7U1RLrd
-----END PUBLIC KEY-----`, `-----BEGIN CERTIFICATE-----
MIIBXzCCARWgAwIBAgIUTfzFHFNK8BSeEXbwLNILjEdwjuAwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKcHJpbWUxOTJ2MTAeFw0yNjExMjUyMjMyNTZaFw0yNjExMjgy
MjMyNTZaMBUxEzARBgNVBAMMCnByaW1lMTkydjEwSTATBgcqhkjOPQIBBggqhkjO
PQMBAQMyAAT/H9AoU0ZDIflhdzz1CIMDjotFOHFVQ/Sop0Ovh8bAZdR9MmC2aj8g
lBtXtTVEut2jUzBRMB0GA1UdDgQWBBSa0gdfF1+NUbaySOG5grbYkYMzrTAfBgNV
HSMEGDAWgBSa0gdfF1+NUbaySOG5grbYkYMzrTAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCAzgAMDUCGEBwgxPa2xQZfafs+Zyh+Ke1D/K6xzUA4wIZAKMfsHTj
64oM4TmzNRVwMhOXkf2MfUozCA==
-----END CERTIFICATE-----`} {
		var refused *KeyError
		if err := new(Keyring).Add("key.pem", []byte(text)); !errors.As(err, &refused) || !strings.Contains(err.Error(), "key.pem is an EC key on the curve P-192") {
			t.Error(err)
		}
		block, _ := pem.Decode([]byte(text))
		if err := new(Keyring).Add("key.der", block.Bytes); err == nil || !strings.Contains(err.Error(), "P-192") {
			t.Error(err)
		}
	}
}
