package ca

import (
	"archive/zip"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/payload"
)

var password = payload.NewSecret([]byte("secret"))

// newCA makes an authority with small keys, which are quick to make.
func newCA(t *testing.T, options Options) *CA {
	t.Helper()
	if options.Bits == 0 {
		options.Bits = 1024
	}
	c, err := Init(filepath.Join(t.TempDir(), "ca"), password, options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMain allows small keys in the tests of this package alone.
func TestMain(m *testing.M) {
	if err := os.Setenv("GODEBUG", "rsa1024min=0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestUpstreamKeyStore(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../testdata/vectors/ca_private_password_secret.yml")
	if err != nil {
		t.Fatal(err)
	}
	store, err := openKeyStore(text, password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseKey(store.keys[storeCA]); err != nil {
		t.Errorf("the CA's key: %v", err)
	}
	if store.lastSerial < 1 || len(store.keys) < 2 {
		t.Errorf("read serial %d and %d keys", store.lastSerial, len(store.keys))
	}
	if _, err := openKeyStore(text, payload.NewSecret([]byte("Secret"))); !errors.Is(err, ErrPassword) {
		t.Errorf("wrong password: %v", err)
	}
	// Written again and read again, it says the same.
	sealed, err := store.seal(password, bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	again, err := openKeyStore(sealed, password)
	if err != nil {
		t.Fatal(err)
	}
	if again.salt != store.salt || again.lastSerial != store.lastSerial || !slices.Equal(again.revoked, store.revoked) {
		t.Errorf("read %v, wrote %v", again.lastSerial, store.lastSerial)
	}
	for name, key := range store.keys {
		if !bytes.Equal(again.keys[name], key) {
			t.Errorf("the key of %s has changed", name)
		}
	}
}

func TestBrokenKeyStores(t *testing.T) {
	t.Parallel()
	seal := func(content string) []byte {
		salt := "c2FsdA=="
		key, err := kdf(password, salt)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := payload.Seal(key, []byte(content), bytes.NewReader(make([]byte, 64)))
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		b.WriteString("priv: !!binary |\n")
		writeBinary(&b, []byte(sealed))
		return []byte(b.String() + "salt: " + salt + "\n")
	}
	for name, test := range map[string]struct {
		text []byte
		want error
	}{
		"empty":                 {nil, ErrKeyStore},
		"not YAML":              {[]byte("{"), ErrKeyStore},
		"no salt":               {[]byte("priv: YQ==\n"), ErrKeyStore},
		"not base64":            {[]byte("priv: '!'\nsalt: a\n"), ErrPassword},
		"content not YAML":      {seal("{"), ErrKeyStore},
		"serial not a number":   {seal("lastserial: abc\n"), ErrKeyStore},
		"serial negative":       {seal("lastserial: -3\n"), ErrKeyStore},
		"revoked not a list":    {seal("revoked_keys: {a: b}\n"), ErrKeyStore},
		"revoked not decimal":   {seal("revoked_keys: ['x']\n"), ErrKeyStore},
		"key a map":             {seal("agent: {a: b}\n"), ErrKeyStore},
		"content with old list": {seal("lastserial: 3\nrevoked_keys: ['2']\nca: !!binary YQ==\n"), nil},
	} {
		if _, err := openKeyStore(test.text, password); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

func TestInitCreateRevoke(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	c := newCA(t, Options{Now: func() time.Time { return now }, CRLDays: 7})
	one, err := c.Create("agent-cert", CreateOptions{DNSNames: []string{"a.example"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	if one.Serial != "2" || one.Subject != "OU=53,O=Keylime,L=Lexington,ST=MA,CN=agent-cert,C=US" {
		t.Errorf("made %+v", one)
	}
	leaf, err := c.readCert("agent-cert-cert.crt")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.CertPEM())
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now.Add(time.Hour), DNSName: "a.example", KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("usage %d: %v", usage, err)
		}
	}
	if len(leaf.AuthorityKeyId) == 0 || !bytes.Equal(leaf.AuthorityKeyId, c.cert.SubjectKeyId) {
		t.Error("the certificate does not name its issuer's key")
	}

	other, err := Open(c.Dir(), password, Options{Bits: 1024, Now: c.options.Now})
	if err != nil {
		t.Fatal(err)
	}
	two, err := other.Create("another", CreateOptions{})
	if err != nil || two.Serial != "3" {
		t.Fatalf("serial %s, %v", two.Serial, err)
	}
	// The first handle sees what the second did.
	if three, err := c.Create("third", CreateOptions{}); err != nil || three.Serial != "4" {
		t.Fatalf("serial %s, %v", three.Serial, err)
	}
	for range 2 {
		if _, err := c.Revoke("another"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.RevokeSerial("77"); err != nil {
		t.Fatal(err)
	}
	der, err := os.ReadFile(filepath.Join(c.Dir(), FileCRLDER))
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(c.cert); err != nil {
		t.Error(err)
	}
	if !list.NextUpdate.Equal(now.AddDate(0, 0, 7)) {
		t.Errorf("the list holds until %s", list.NextUpdate)
	}
	var serials []string
	for _, entry := range list.RevokedCertificateEntries {
		serials = append(serials, entry.SerialNumber.String())
	}
	if !slices.Equal(serials, []string{"3", "77"}) {
		t.Errorf("revoked: %v", serials)
	}
	all, err := c.List()
	if err != nil || len(all) != 3 || !all[1].Revoked || all[0].Revoked {
		t.Errorf("listed %+v, %v", all, err)
	}
}

func TestModesAndTails(t *testing.T) {
	t.Parallel()
	c := newCA(t, Options{})
	long := filepath.Join(c.Dir(), "a-private.pem")
	if err := os.WriteFile(long, bytes.Repeat([]byte("x"), 1<<16), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create("a", CreateOptions{KeyPassword: payload.NewSecret([]byte("pw"))}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(long)
	if err != nil {
		t.Fatal(err)
	}
	if block, rest := pem.Decode(text); block == nil || block.Type != "ENCRYPTED PRIVATE KEY" || len(rest) > 0 {
		t.Errorf("the key file has a tail or is not encrypted")
	}
	if _, err := c.Pack("a", false); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(c.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		if base := d.Name(); base == FileKeyStore || strings.HasSuffix(base, "-private.pem") || strings.HasSuffix(base, ".zip") {
			want = 0o600
		}
		if info.Mode().Perm() != want || strings.HasPrefix(d.Name(), ".") {
			t.Errorf("%s has mode %o, want %o", d.Name(), info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAgentPackage(t *testing.T) {
	t.Parallel()
	c := newCA(t, Options{})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "autorun.sh"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "deeper"), 0o700); err != nil {
		t.Fatal(err)
	}
	include, nested, err := Include(dir)
	if err != nil || !slices.Equal(nested, []string{"deeper"}) {
		t.Fatalf("nested %v, %v", nested, err)
	}
	pkg, err := c.AgentPackage("agent-1", include)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.NewReader(bytes.NewReader(pkg.Zip), int64(len(pkg.Zip)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range archive.File {
		names = append(names, f.Name)
		if f.Method != zip.Store {
			t.Errorf("%s is compressed", f.Name)
		}
	}
	want := []string{"agent-1-public.pem", "agent-1-cert.crt", "agent-1-private.pem", "cacert.crt", "cacrl.der", "cacrl.pem", "RevocationNotifier-cert.crt", "autorun.sh"}
	if !slices.Equal(names, want) {
		t.Errorf("packed %v", names)
	}
	if pkg.Serial != "2" || !slices.Equal(pkg.Created, []string{"agent-1", RevocationName}) || !bytes.Contains(pkg.RevocationKeyPEM, []byte("PRIVATE KEY")) {
		t.Errorf("serial %s, created %v", pkg.Serial, pkg.Created)
	}
	again, err := c.AgentPackage("agent-1", nil)
	if err != nil || again.Serial != "2" || len(again.Created) > 0 {
		t.Errorf("again: serial %s, created %v, %v", again.Serial, again.Created, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c := newCA(t, Options{})
	for _, name := range []string{"", ".", "..", "a/b", `a\b`, "ca", "lastserial", "revoked_keys", "a\x00"} {
		if _, err := c.Create(name, CreateOptions{}); !errors.Is(err, ErrName) {
			t.Errorf("Create(%q): %v", name, err)
		}
	}
	if _, err := Open(t.TempDir(), password, Options{}); !errors.Is(err, ErrNoCA) {
		t.Errorf("no CA: %v", err)
	}
	if _, err := Open(c.Dir(), payload.Secret{}, Options{}); !errors.Is(err, ErrNoPassword) {
		t.Errorf("no password: %v", err)
	}
	if _, err := Open(c.Dir(), payload.NewSecret([]byte("wrong")), Options{}); !errors.Is(err, ErrPassword) {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := Init(t.TempDir(), payload.Secret{}, Options{}); !errors.Is(err, ErrNoPassword) {
		t.Errorf("no password: %v", err)
	}
	if _, err := c.Pack("nobody", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nobody: %v", err)
	}
	for what, err := range map[string]error{"revoke": errOf(c.Revoke("nobody")), "pack": errOf(c.Pack("nobody", false))} {
		var named *Error
		if !errors.Is(err, ErrNotFound) || !errors.As(err, &named) || named.Object != "nobody" {
			t.Errorf("%s nobody: %v", what, err)
		}
	}
	if err := c.RevokeSerial("0x3"); !errors.Is(err, ErrNotFound) {
		t.Errorf("serial: %v", err)
	}
	foreign := newCA(t, Options{})
	if err := os.WriteFile(filepath.Join(c.Dir(), FileCACert), foreign.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(c.Dir(), password, Options{}); err == nil || !strings.Contains(err.Error(), "another one's") {
		t.Errorf("foreign certificate: %v", err)
	}
}

func TestImportKey(t *testing.T) {
	t.Parallel()
	c := newCA(t, Options{})
	key, err := keyPEM(c.key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileCACert), c.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ImportKey(dir, password, key, 41, Options{}); err != nil {
		t.Fatal(err)
	}
	imported, err := Open(dir, password, Options{Bits: 1024})
	if err != nil {
		t.Fatal(err)
	}
	if one, err := imported.Create("x", CreateOptions{}); err != nil || one.Serial != "43" {
		t.Errorf("serial %s, %v", one.Serial, err)
	}
	if err := ImportKey(dir, password, []byte("no key"), 1, Options{}); !errors.Is(err, errNotRSA) {
		t.Errorf("not a key: %v", err)
	}
}

func TestConcurrentSerials(t *testing.T) {
	t.Parallel()
	c := newCA(t, Options{})
	var group sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		group.Go(func() {
			other, err := Open(c.Dir(), password, Options{Bits: 1024})
			if err == nil {
				_, err = other.Create(name, CreateOptions{})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	seen := map[string]bool{}
	list, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range list {
		seen[one.Serial] = true
	}
	if len(seen) != 4 {
		t.Errorf("serials of 4 certificates: %v", seen)
	}
}

func FuzzKeyStore(f *testing.F) {
	text, err := os.ReadFile("../../testdata/vectors/ca_private_password_secret.yml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("priv: !!binary |\n  YQ==\nsalt: a\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := openKeyStore(text, password); err != nil && s.keys != nil {
			t.Error("a refused store has content")
		}
	})
}

// TestInitNew: of several processes that find no authority and make one, one
// does; the others do not remove what it has made.
func TestInitNew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	password := payload.NewSecret([]byte("correct-horse"))
	made := make(chan *CA, 4)
	for range cap(made) {
		go func() {
			c, err := InitNew(dir, password, Options{})
			if err != nil && !errors.Is(err, ErrExists) {
				t.Error(err)
			}
			made <- c
		}()
	}
	var winner *CA
	for range cap(made) {
		if c := <-made; c != nil && winner != nil {
			t.Error("two were made")
		} else if c != nil {
			winner = c
		}
	}
	opened, err := Open(dir, password, Options{})
	if err != nil || winner == nil || !bytes.Equal(opened.CertPEM(), winner.CertPEM()) {
		t.Fatalf("%v, %v", winner, err)
	}
	if _, err := Init(dir, password, Options{}); err != nil { // which is what it is for
		t.Error(err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "mine.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := InitNew(other, password, Options{}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if left, err := Leftovers(other); err != nil || len(left) != 1 || left[0] != "mine.pem" {
		t.Error(left, err)
	}
	if left, err := Leftovers(filepath.Join(other, "absent")); err != nil || left != nil {
		t.Error(left, err)
	}
}

func errOf[T any](_ T, err error) error { return err }
