package ek_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

// FuzzCertificate: no input makes the parser panic, and what crypto/x509 reads
// as well is read alike.
func FuzzCertificate(f *testing.F) {
	for _, der := range recordedCertificates(f) {
		f.Add(der)
	}
	w := newWorld(f)
	f.Add(w.ca.sign(f, w.caKey))
	f.Add(w.ek.sign(f, w.caKey))
	f.Add([]byte{0x10, 0x01, 0x00, 0, 2, 0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := ek.ParseCertificate(der)
		if err != nil {
			return
		}
		want, err := x509.ParseCertificate(der)
		if err == nil && (c.Serial.Cmp(want.SerialNumber) != 0 || !c.NotBefore.Equal(want.NotBefore) || !c.NotAfter.Equal(want.NotAfter)) {
			t.Errorf("serial %v, %v to %v; crypto/x509 says %v, %v to %v", c.Serial, c.NotBefore, c.NotAfter, want.SerialNumber, want.NotBefore, want.NotAfter)
		}
	})
}

// FuzzStoreVerify: no certificate but one that was signed is vouched for.
func FuzzStoreVerify(f *testing.F) {
	w := newWorld(f)
	good := w.ek.sign(f, w.caKey)
	tpm2b := w.tpm2b
	f.Add(good, tpm2b)
	f.Add(append(good, 0xff), tpm2b)
	f.Add([]byte(nil), []byte(nil))
	store := storeOf(f, map[string][]byte{"ca.pem": certPEM(w.ca.sign(f, w.caKey))})
	f.Fuzz(func(t *testing.T, der, tpm2b []byte) {
		for _, compat := range []bool{false, true} {
			v, err := store.Verify(der, tpm2b, ek.Options{Now: present(), Compat: compat})
			if err != nil {
				if checkOf(t, err) == "" {
					t.Error("an error without a check")
				}
				continue
			}
			if v.Certificate().Serial.Int64() != 0x20 || v.Issuer() == "" {
				t.Errorf("vouched for %+v", v.Certificate())
			}
		}
	})
}

// FuzzPublic: what is read is written again in PEM that belongs to it.
func FuzzPublic(f *testing.F) {
	for _, name := range []string{"sb-on/ek_tpm2b_public.bin", "sb-on/ak_tpm2b_public.bin", "sb-on/ak_ecc_tpm2b_public.bin"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, tpm2b []byte) {
		public, err := ek.ParsePublic(tpm2b)
		if err != nil {
			if public.Key != nil || public.PEM != "" {
				t.Error("a refused key has contents")
			}
			return
		}
		if public.PEM == "" || len(public.Hash()) != 64 {
			t.Errorf("%+v", public)
		}
	})
}

// FuzzLoadStore: no file makes the store panic.
func FuzzLoadStore(f *testing.F) {
	f.Add(read(f, "sb-on/ek_ca_chain.pem"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, "f.pem"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		store, err := ek.LoadStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		if store.Len() == 0 && len(store.Skipped()) == 0 {
			t.Error("neither used nor skipped")
		}
	})
}
