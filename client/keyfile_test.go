package client

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/youmark/pkcs8"

	"github.com/keylime/keylime-tenant/client/pkitest"
)

func readTestFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "keys", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestParseKey reads one key in every form that OpenSSL writes.
func TestParseKey(t *testing.T) {
	t.Parallel()
	block, _ := pem.Decode(readTestFile(t, "public.pem"))
	want, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file      string
		encrypted bool
	}{
		{"plain.pem", false}, {"ec-sec1.pem", false},
		{"pbkdf2-SHA1.pem", true}, {"pbkdf2-SHA224.pem", true}, {"pbkdf2-SHA256.pem", true}, {"pbkdf2-SHA384.pem", true},
		{"pbkdf2-SHA512.pem", true}, {"pbkdf2-SHA512-224.pem", true}, {"pbkdf2-SHA512-256.pem", true},
		{"cipher-aes-128-cbc.pem", true}, {"cipher-aes-192-cbc.pem", true}, {"cipher-des3.pem", true},
		{"one-iteration.pem", true}, {"scrypt.pem", true},
		{"traditional-aes256.pem", true}, {"traditional-des3.pem", true},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			text := readTestFile(t, c.file)
			key, err := parseKey(text, "secret")
			if err != nil {
				t.Fatal(err)
			}
			if !key.Public().(*ecdsa.PublicKey).Equal(want) {
				t.Error("another key came out")
			}
			if _, err := parseKey(text, ""); c.encrypted != errors.Is(err, errNoPassword) {
				t.Errorf("without a password: %v", err)
			}
			if _, err := parseKey(text, "wrong"); c.encrypted != errors.Is(err, errWrongPassword) {
				t.Errorf("with a wrong password: %v", err)
			}
		})
	}
}

func TestParseKeyRefuses(t *testing.T) {
	t.Parallel()
	block, _ := pem.Decode(readTestFile(t, "one-iteration.pem"))
	cut := string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:len(block.Bytes)-1]}))
	for name, c := range map[string]struct{ text, want string }{
		"PBES1":           {string(readTestFile(t, "pbes1-3des.pem")), "openssl pkcs8 -topk8 -v2 aes256"},
		"other cipher":    {string(readTestFile(t, "cipher-aria.pem")), "cipher that is not supported"},
		"nothing":         {"", "no PEM private key"},
		"a public key":    {string(readTestFile(t, "public.pem")), "no PEM private key"},
		"cut":             {cut, "damaged"},
		"another kind":    {"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "OPENSSH"},
		"damaged":         {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be read"},
		"damaged wrapper": {"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "damaged"},
	} {
		if _, err := parseKey([]byte(c.text), "secret"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAgainstOtherLibrary: keys that another implementation has encrypted are
// read.
func TestAgainstOtherLibrary(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]*pkcs8.Opts{
		"pbkdf2": {Cipher: pkcs8.AES192CBC, KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: 10, HMACHash: crypto.SHA256}},
		"scrypt": {Cipher: pkcs8.AES256CBC, KDFOpts: pkcs8.ScryptOpts{SaltSize: 16, CostParameter: 4, BlockSize: 8, ParallelizationParameter: 2}},
	} {
		der, err := pkcs8.MarshalPrivateKey(key, []byte("pässword"), options)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseKey(pem.EncodeToMemory(&pem.Block{Type: encryptedType, Bytes: der}), "pässword")
		if err != nil || !key.Equal(got) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseKey: no file makes the client panic or compute for ever.
func FuzzParseKey(f *testing.F) {
	for _, name := range []string{"plain.pem", "ec-sec1.pem", "one-iteration.pem", "traditional-des3.pem", "pbes1-3des.pem", "public.pem"} {
		f.Add(readTestFile(f, name), "secret")
		f.Add(readTestFile(f, name), "")
	}
	f.Fuzz(func(t *testing.T, text []byte, password string) {
		if len(text) > 1<<16 {
			return
		}
		if key, err := parseKey(text, password); (key == nil) == (err == nil) {
			t.Errorf("key %v, error %v", key, err)
		}
	})
}

// TestLoadTLS: each case spoils one file.
func TestLoadTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "CA")
	client, other := clientOf(t, ca), clientOf(t, ca)
	dir := t.TempDir()
	encrypted, err := pkcs8.MarshalPrivateKey(client.Key, []byte("secret"), &pkcs8.Opts{Cipher: pkcs8.AES256CBC,
		KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 8, IterationCount: 10, HMACHash: crypto.SHA1}})
	if err != nil {
		t.Fatal(err)
	}
	locked := write(t, dir, "locked.pem", string(pem.EncodeToMemory(&pem.Block{Type: encryptedType, Bytes: encrypted})))
	for _, c := range []struct {
		name   string
		change func(*TLSFiles)
		option string // "": it is good
		path   string
		cause  string
	}{
		{"good", func(*TLSFiles) {}, "", "", ""},
		{"bundle", func(f *TLSFiles) {
			f.CAFiles = []string{write(t, dir, "bundle.pem", "# text\n"+pkitest.CertPEM(ca.Cert)+"\n"+pkitest.CertPEM(newAuthority(t, "B").Cert))}
		}, "", "", ""},
		{"encrypted key", func(f *TLSFiles) { f.KeyFile, f.KeyPassword = locked, "secret" }, "", "", ""},
		{"password for a plain key", func(f *TLSFiles) { f.KeyPassword = "secret" }, "", "", ""},
		{"key and certificate in one file", func(f *TLSFiles) {
			f.CertFile = write(t, dir, "both.pem", client.KeyPEM(t)+pkitest.CertPEM(client.Cert)+pkitest.CertPEM(ca.Cert))
			f.KeyFile = f.CertFile
		}, "", "", ""},
		{"anonymous", func(f *TLSFiles) { f.Anonymous, f.CertFile, f.KeyFile = true, "", "" }, "", "", ""},
		{"skipping without CA", func(f *TLSFiles) { f.InsecureSkipServer, f.CAFiles = true, nil }, "", "", ""},

		{"no CA", func(f *TLSFiles) { f.CAFiles = nil }, "trusted_server_ca", "", "no CA certificate is configured"},
		{"CA missing", func(f *TLSFiles) { f.CAFiles = []string{"/no/such/ca"} }, "trusted_server_ca", "/no/such/ca", "no such file"},
		{"second CA missing", func(f *TLSFiles) { f.CAFiles = append(f.CAFiles, "/no/such/ca") }, "trusted_server_ca", "/no/such/ca", "no such file"},
		{"CA empty name", func(f *TLSFiles) { f.CAFiles = []string{""} }, "trusted_server_ca", "", "no file is configured"},
		{"CA is a directory", func(f *TLSFiles) { f.CAFiles = []string{dir} }, "trusted_server_ca", dir, "is a directory"},
		{"CA without end", func(f *TLSFiles) { f.CAFiles = []string{"/dev/zero"} }, "trusted_server_ca", "/dev/zero", "more than 16 MiB are too many"},
		{"CA without certificate", func(f *TLSFiles) { f.CAFiles = []string{f.KeyFile} }, "trusted_server_ca", "", "no PEM certificate"},
		{"CA damaged", func(f *TLSFiles) {
			f.CAFiles = []string{write(t, dir, "bad.pem", pkitest.CertPEM(ca.Cert)+"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}
		}, "trusted_server_ca", "", "certificate 2 in it cannot be read"},
		{"skipping with a missing CA", func(f *TLSFiles) { f.InsecureSkipServer, f.CAFiles = true, []string{"/no/such/ca"} }, "trusted_server_ca", "/no/such/ca", "no such file"},
		{"certificate missing", func(f *TLSFiles) { f.CertFile = "/no/such/cert" }, "client_cert", "/no/such/cert", "no such file"},
		{"certificate not set", func(f *TLSFiles) { f.CertFile = "" }, "client_cert", "", "no file is configured"},
		{"key missing", func(f *TLSFiles) { f.KeyFile = "/no/such/key" }, "client_key", "/no/such/key", "no such file"},
		{"key not set", func(f *TLSFiles) { f.KeyFile = "" }, "client_key", "", "no file is configured"},
		{"key without key", func(f *TLSFiles) { f.KeyFile = f.CertFile }, "client_key", "", "no PEM private key"},
		{"key of another certificate", func(f *TLSFiles) { f.KeyFile = write(t, dir, "other.pem", other.KeyPEM(t)) }, "client_key", "", "does not belong to the certificate of client_cert"},
		{"no password", func(f *TLSFiles) { f.KeyFile = locked }, "client_key", locked, "client_key_password is not set"},
		{"wrong password", func(f *TLSFiles) { f.KeyFile, f.KeyPassword = locked, "wrong" }, "client_key", locked, "client_key_password is the wrong password"},
		{"names of options", func(f *TLSFiles) { f.KeyOption, f.KeyFile = "--key", "/no/such/key" }, "--key", "/no/such/key", "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := files(t, ca, client)
			c.change(&f)
			m, err := LoadTLS(f)
			if c.option == "" {
				if err != nil {
					t.Fatal(err)
				}
				if m.Files().KeyPassword != "" || (m.Certificate() == nil) != f.Anonymous {
					t.Error("the material shows the password, or lacks a certificate")
				}
				if text := fmt.Sprintf("%v %+v %#v %s", m, m, m, m); strings.Count(text, "client certificate") != 4 || len(text) > 1000 {
					t.Errorf("the material prints as %s", text)
				}
				return
			}
			var bad *FileError
			if !errors.As(err, &bad) {
				t.Fatalf("%T %v", err, err)
			}
			if bad.Option != c.option || (c.path != "" && bad.Path != c.path) || !strings.Contains(bad.Cause, c.cause) || m != nil {
				t.Errorf("%+v", bad)
			}
		})
	}
	bundle := files(t, ca, client)
	bundle.CAFiles = append(bundle.CAFiles, write(t, dir, "b.pem", pkitest.CertPEM(ca.Cert)+pkitest.CertPEM(newAuthority(t, "B").Cert)))
	if m := load(t, bundle); len(m.CAs()) != 3 {
		t.Errorf("%d CAs", len(m.CAs()))
	}
}

func TestPasswordHides(t *testing.T) {
	t.Parallel()
	f := TLSFiles{KeyPassword: "hush"}
	encoded, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q %x", f, f, f, f.KeyPassword, f.KeyPassword, f.KeyPassword), string(encoded)} {
		if strings.Contains(text, "hush") || strings.Contains(text, fmt.Sprintf("%x", "hush")) || !strings.Contains(text, "[redacted]") {
			t.Error(text)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"127.0.0.1": "127.0.0.1:8881", "::1": "[::1]:8881", "[::1]": "[::1]:8881", "localhost": "localhost:8881", "fe80::1%eth0": "[fe80::1%eth0]:8881",
	} {
		c, err := New(Config{Name: VerifierName, Host: host, Port: 8881})
		if err != nil || c.Addr() != want || c.Name() != VerifierName {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, c := range []struct {
		host string
		port int
	}{
		{"", 1}, {"a", 0}, {"a", -1}, {"a", 65536}, {"http://a", 1}, {"a/b", 1}, {"a@b", 1}, {"a b", 1}, {"a\n", 1}, {"a:1", 1}, {"[a]", 1}, {"[::1", 1}, {"a?b", 1}, {"::1%", 1}, {"::1%a/b", 1},
		{"a\u009b31m", 1}, {"a\u202eb", 1}, {"::1%\u009b", 1}, {"a\x9b", 1}, {"a\u00a0b", 1},
	} {
		var bad *AddressError
		if _, err := New(Config{Host: c.host, Port: c.port}); !errors.As(err, &bad) {
			t.Errorf("%q %d: %v", c.host, c.port, err)
		}
	}
	for name, config := range map[string]Config{
		"a pin without TLS":         {Host: "a", Port: 1, PinnedPEM: "x"},
		"a pin that is not PEM":     {Host: "a", Port: 1, PinnedPEM: "x", TLS: &TLSMaterial{}},
		"a pin of another kind":     {Host: "a", Port: 1, PinnedPEM: string(readTestFile(t, "public.pem")), TLS: &TLSMaterial{}},
		"a pin that cannot be read": {Host: "a", Port: 1, PinnedPEM: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", TLS: &TLSMaterial{}},
	} {
		if _, err := New(config); KindOf(err) != ServerUntrusted {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParsePort(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"9002": 9002, `"9002"`: 9002, "null": 0, " 1 ": 1} {
		if got, err := ParsePort([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", `""`, "-1", "65536", "1.5", `"x"`, "[]", `"`} {
		if got, err := ParsePort([]byte(text)); err == nil {
			t.Errorf("%s: %d", text, got)
		}
	}
}
