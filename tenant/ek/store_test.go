package ek_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

// TestStore: what is read from a directory, and what is skipped and why.
func TestStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := string(certPEM(w.ca.sign(t, w.caKey)))
	malformed := string(certPEM([]byte{1, 2, 3}))
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a-good.pem":     good,
		"b-bundle.pem":   "Issuer: text between\r\n" + good + "# more\n" + good,
		"c-one-bad.pem":  good + malformed + good,
		"d-empty.pem":    "",
		"e-text.pem":     "hello",
		"f-key.pem":      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"g-cut.pem":      good + good[:200],
		"h-binary.pem":   "\xff\xfe\x00",
		"i-with-key.pem": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + good,
		"j.crt":          good,
		"k.DER":          "x",
		"l.cer":          "x",
		"m.PEM":          good,
		"README":         "not looked at",
		"n.pem.bak":      good,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "o-dir.pem", "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "o-dir.pem", "p.pem"), []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a-good.pem", filepath.Join(dir, "q-link.pem")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "r-dangling.pem")); err != nil {
		t.Fatal(err)
	}
	store, err := ek.LoadStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := store.Len(), 1+2+2+1+1+1; got != want || store.Dir() != dir {
		t.Errorf("%d certificates, want %d", got, want)
	}
	want := []struct{ file, cause string }{
		{"c-one-bad.pem", "certificate 2 of the file"},
		{"d-empty.pem", "it is empty"},
		{"e-text.pem", "no PEM block of type CERTIFICATE"},
		{"f-key.pem", "no PEM block of type CERTIFICATE"},
		{"g-cut.pem", "1 of its 2 certificates are not whole"},
		{"h-binary.pem", "no PEM block of type CERTIFICATE"},
		{"j.crt", "openssl x509 -in j.crt -out j.pem"},
		{"k.DER", "only *.pem files are read"},
		{"l.cer", "only *.pem files are read"},
		{"m.PEM", "in small letters"},
		{"o-dir.pem", "not a regular file"},
		{"r-dangling.pem", "no such file"},
	}
	skipped := store.Skipped()
	if len(skipped) != len(want) {
		t.Fatalf("skipped %v", skipped)
	}
	for i, s := range skipped {
		if filepath.Base(s.Path) != want[i].file || !strings.Contains(s.Err.Error(), want[i].cause) {
			t.Errorf("skipped %s: %v; want %s: %s", s.Path, s.Err, want[i].file, want[i].cause)
		}
	}
	skipped[0].Path = "changed"
	if store.Skipped()[0].Path == "changed" {
		t.Error("a caller can change the store")
	}
}

// TestStoreTooLarge: a file without end does not fill the memory.
func TestStoreTooLarge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "large.pem"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(17 << 20); err != nil { // sparse
		t.Fatal(err)
	}
	store, err := ek.LoadStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s := store.Skipped(); len(s) != 1 || !strings.Contains(s[0].Err.Error(), "larger than") {
		t.Errorf("skipped %v", s)
	}
}

// TestNoStore: a directory that is not there is named.
func TestNoStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	_, err := ek.LoadStore(dir)
	if checkOf(t, err) != ek.CheckStore || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
}
