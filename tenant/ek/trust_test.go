package ek_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

func sha256Hex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func readText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pkcs7 is a bag of certificates (RFC 2315).
func pkcs7(certs ...[]byte) []byte {
	signed := tlv(tagSeq, tlv(tagInt, []byte{1}), tlv(tagSet), tlv(tagSeq, oidOf(1, 2, 840, 113549, 1, 7, 1)), tlv(0xa0, certs...), tlv(tagSet))
	return tlv(tagSeq, oidOf(1, 2, 840, 113549, 1, 7, 2), tlv(0xa0, signed))
}

// TestReadCertificates: every form in which makers hand certificates out.
func TestReadCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca := w.ca.sign(t, w.caKey)
	w.ca.serial = []byte{2}
	second := w.ca.sign(t, w.caKey)
	text := certPEM(ca)
	for _, test := range []struct {
		name string
		data []byte
		want [][]byte
	}{
		{"DER", ca, [][]byte{ca}},
		{"DER with padding", append(bytes.Clone(ca), 0xff, 0xff), [][]byte{ca}},
		{"PEM", text, [][]byte{ca}},
		{"PEM with text", append([]byte("subject: x\n"), append(text, certPEM(second)...)...), [][]byte{ca, second}},
		{"PKCS#7", pkcs7(ca, second), [][]byte{ca, second}},
	} {
		got, err := ek.ReadCertificates(test.data)
		if err != nil || len(got) != len(test.want) {
			t.Errorf("%s: %v, %v", test.name, got, err)
			continue
		}
		for i, c := range got {
			if !bytes.Equal(c.Raw, test.want[i]) || c.Fingerprint() != sha256Hex(test.want[i]) {
				t.Errorf("%s: certificate %d differs", test.name, i)
			}
		}
	}
	for _, bad := range [][]byte{nil, []byte("hello"), text[:100], pkcs7(), pkcs7([]byte{1, 2}), certPEM([]byte{1, 2, 3}),
		[]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), tlv(tagSeq, oidOf(1, 2, 840, 113549, 1, 7, 2))} {
		if got, err := ek.ReadCertificates(bad); err == nil || got != nil {
			t.Errorf("%.20q: %v", bad, got)
		}
	}
}

// TestCheckAuthority: what cannot vouch for anybody is told apart.
func TestCheckAuthority(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		spoil func(*world) []byte
		want  error
	}{
		{"an authority", func(w *world) []byte { return w.ca.sign(t, w.caKey) }, nil},
		{"an EK", func(w *world) []byte { return w.ek.sign(t, w.caKey) }, ek.ErrIsEK},
		{"a server", func(w *world) []byte { w.ca.extensions = w.ca.extensions[2:]; return w.ca.sign(t, w.caKey) }, ek.ErrNotAuthority},
		{"an unknown key", func(w *world) []byte {
			w.ca.key = tlv(tagSeq, tlv(tagSeq, oidOf(1, 2, 3)), tlv(tagBits, []byte{0, 1}))
			return w.ca.sign(t, w.caKey)
		}, ek.ErrUnusableKey},
	} {
		c, err := ek.ParseCertificate(test.spoil(newWorld(t)))
		if err != nil {
			t.Fatal(err)
		}
		if err := ek.CheckAuthority(c); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestTrust: a certificate goes in once, under a name of its own, vouches for
// an EK, and comes out again.
func TestTrust(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, err := ek.ParseCertificate(w.ca.sign(t, w.caKey))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new", "store")
	path, known, err := ek.AddTrust(dir, ca)
	if err != nil || known || filepath.Base(path) != "EK-CA-1-"+ca.Fingerprint()[:8]+".pem" || readText(t, path) != string(certPEM(ca.Raw)) {
		t.Fatalf("%s, %v, %v", path, known, err)
	}
	if again, known, err := ek.AddTrust(dir, ca); err != nil || !known || again != path {
		t.Errorf("again: %s, %v, %v", again, known, err)
	}
	store, err := ek.LoadStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Verify(w.ek.sign(t, w.caKey), w.tpm2b, ek.Options{Now: w.now}); err != nil {
		t.Error(err)
	}
	if _, err := store.VerifyCertificate(w.ek.sign(t, w.caKey), ek.Options{Now: w.now}); err != nil {
		t.Error(err)
	}
	if anchors := store.Anchors(); len(anchors) != 1 || anchors[0].Path != path || anchors[0].Certificate.Fingerprint() != ca.Fingerprint() {
		t.Errorf("%v", anchors)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
	for _, which := range []string{filepath.Base(path), path, ca.Fingerprint()[:8], colons(strings.ToUpper(ca.Fingerprint())), "EK CA 1", ca.Subject} {
		if _, _, err := ek.AddTrust(dir, ca); err != nil {
			t.Fatal(err)
		}
		if gone, err := ek.RemoveTrust(dir, which); err != nil || gone.Path != path {
			t.Errorf("%s: %v, %v", which, gone, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the file is still there", which)
		}
	}
	if _, err := ek.RemoveTrust(dir, "EK CA 1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := ek.RemoveTrust(dir+"x", "EK CA 1"); checkOf(t, err) != ek.CheckStore {
		t.Errorf("%v", err)
	}
}

// TestRemoveTrustFromBundle: of a bundle only the one meant is cut; what is not
// clear is refused.
func TestRemoveTrustFromBundle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.ca.sign(t, w.caKey)
	w.ca.serial = []byte{2}
	second := w.ca.sign(t, w.caKey)
	dir := t.TempDir()
	bundle := filepath.Join(dir, "bundle.pem")
	if err := os.WriteFile(bundle, []byte("# first\n"+string(certPEM(first))+"# second\n"+string(certPEM(second))+"# end\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ek.RemoveTrust(dir, "EK CA 1"); err == nil || !strings.Contains(err.Error(), sha256Hex(second)[:16]) {
		t.Errorf("%v", err)
	}
	if _, err := ek.RemoveTrust(dir, sha256Hex(first)[:12]); err != nil {
		t.Fatal(err)
	}
	if text := readText(t, bundle); text != "# second\n"+string(certPEM(second))+"# end\n" {
		t.Errorf("%s", text)
	}
	if _, err := ek.RemoveTrust(dir, sha256Hex(second)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bundle); !errors.Is(err, os.ErrNotExist) {
		t.Error("an empty bundle is left")
	}
}

// TestVerifyCertificate: without an EK to compare, the other checks hold.
func TestVerifyCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storeOf(t, map[string][]byte{"ca.pem": certPEM(w.ca.sign(t, w.caKey))})
	w.ek.issuer = tlv(tagSeq, rdn(tagUTF8, "CN", "another"))
	if _, err := store.VerifyCertificate(w.ek.sign(t, w.caKey), ek.Options{Now: w.now}); checkOf(t, err) != ek.CheckChain {
		t.Errorf("%v", err)
	}
	if _, err := store.VerifyCertificate([]byte("x"), ek.Options{}); checkOf(t, err) != ek.CheckCertificate {
		t.Errorf("%v", err)
	}
}

// TestFacts: who made the TPM, and where its issuer is.
func TestFacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	access := func(arc byte, url string) []byte {
		return tlv(tagSeq, oidOf(1, 3, 6, 1, 5, 5, 7, 48, int(arc)), tlv(0x86, []byte(url)))
	}
	info := tlv(tagSeq, access(1, "http://ocsp"), access(2, "http://maker/ca.crt"), access(2, "http://\x1b[2J"))
	w.ek.extensions = append(w.ek.extensions, tlv(tagSeq, oidOf(1, 3, 6, 1, 5, 5, 7, 1, 1), tlv(tagOctets, info)))
	c, err := ek.ParseCertificate(w.ek.sign(t, w.caKey))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.IssuerURLs) != 1 || c.IssuerURLs[0] != "http://maker/ca.crt" || !strings.HasPrefix(c.Vendor(), "the lab") {
		t.Errorf("%q %q", c.IssuerURLs, c.Vendor())
	}
	for id, want := range map[string]string{"id:53544D20": "STMicroelectronics", "id:494e5443": "Intel", "id:00001014": "IBM, swtpm (a software TPM)",
		"53544D20": "", "id:5354": "", "id:zz": "", "": "", "id:58595a00": ""} {
		if got := ek.VendorName(id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	if got := (&ek.Certificate{Manufacturer: "id:58595A00"}).Vendor(); got != "not registered (XYZ)" {
		t.Errorf("%q", got)
	}
	if got := (&ek.Certificate{Manufacturer: "id:1B5B3100"}).Vendor(); got != "" {
		t.Errorf("%q", got)
	}
}

// TestFileName: names of files hold nothing but letters and digits of ASCII.
func TestFileName(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]string{
		"C=CH, CN=STM TPM EK Intermediate CA 05": "STM-TPM-EK-Intermediate-CA-05-", "O=../../etc, CN=../x/é": "x-", "": "certificate-",
		"CN=" + strings.Repeat("long ", 40): "long-long-long-long-long-long-long-long-long-long-long-long-",
	} {
		if got := ek.FileName(&ek.Certificate{Subject: subject}); got != want+sha256Hex(nil)[:8]+".pem" {
			t.Errorf("%q: %s", subject, got)
		}
	}
}

func FuzzReadCertificates(f *testing.F) {
	f.Add(read(f, "sb-on/ek_ca_chain.pem"))
	f.Add(read(f, "sb-on/ek_cert.der"))
	f.Add(pkcs7(read(f, "sb-on/ek_cert.der")))
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := ek.ReadCertificates(data)
		if (len(certs) == 0) == (err == nil) {
			t.Fatal("neither or both of certificates and error")
		}
		for _, c := range certs {
			_, _, _ = ek.CheckAuthority(c), ek.FileName(c), c.Vendor()
		}
	})
}
