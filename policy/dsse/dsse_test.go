package dsse

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

const fixtures = "../../testdata/golden/fixtures/"

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// vector is an envelope that Keylime signed, compact as vectors.json has it.
func vector(t testing.TB) (envelope, key []byte) {
	t.Helper()
	var v struct {
		DSSE struct {
			PublicPEM string `json:"public_pem"`
			Envelope  json.RawMessage
		} `json:"dsse_ecdsa"`
	}
	if err := json.Unmarshal(read(t, "../../testdata/vectors/vectors.json"), &v); err != nil {
		t.Fatal(err)
	}
	return v.DSSE.Envelope, []byte(v.DSSE.PublicPEM)
}

func check(err error) Check {
	var e *Error
	if errors.As(err, &e) {
		return e.Check
	}
	return ""
}

func TestVerifyUpstream(t *testing.T) {
	t.Parallel()
	envelope, key := vector(t)
	payload, err := Verify(envelope, key)
	if err != nil || !bytes.HasPrefix(payload, []byte(`{"meta":`)) {
		t.Fatalf("%.30q, %v", payload, err)
	}
	signed, pub := read(t, fixtures+"rp-signed.json"), read(t, fixtures+"ec.pub")
	payload, err = Verify(signed, pub)
	if err != nil || !json.Valid(payload) {
		t.Fatalf("%.30q, %v", payload, err)
	}
	if unchecked, err := Payload(signed); err != nil || !bytes.Equal(unchecked, payload) {
		t.Fatal(err)
	}
	// The shape is upstream's to the byte: re-encoding changes nothing.
	var e struct {
		Payload    string
		Signatures []struct{ KeyID, Sig string }
	}
	if err := json.Unmarshal(signed, &e); err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	if err != nil {
		t.Fatal(err)
	}
	if again := encode(payload, e.Signatures[0].KeyID, sig); !bytes.Equal(again, bytes.TrimSpace(signed)) {
		t.Errorf("re-encoded:\n%.200s\nwant\n%.200s", again, signed)
	}
}

// TestVerifyRefuses spoils one input at a time.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	signed, pub := string(read(t, fixtures+"rp-signed.json")), string(read(t, fixtures+"ec.pub"))
	var e struct {
		Payload    string
		Signatures []struct{ KeyID, Sig string }
	}
	if err := json.Unmarshal([]byte(signed), &e); err != nil {
		t.Fatal(err)
	}
	sig := e.Signatures[0].Sig
	swap := func(old, new string) string {
		if !strings.Contains(signed, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(signed, old, new, 1)
	}
	rsaKey := string(read(t, fixtures+"rsa.pub"))
	for _, c := range []struct {
		name, envelope, key string
		want                Check
	}{
		{"other key", signed, string(read(t, fixtures+"ec2.pub")), CheckSignature},
		{"tampered payload", string(read(t, fixtures+"rp-signed-tampered.json")), pub, CheckSignature},
		{"another type", swap(`"application/vnd.keylime+json"`, `"application/vnd.in-toto+json"`), pub, CheckPayloadType},
		{"no type", swap(`"payloadType"`, `"payloadtypeX"`), pub, CheckEnvelope},
		{"no signatures", swap(`"signatures"`, `"signaturesX"`), pub, CheckSignature},
		{"signature without sig", swap(`"sig":`, `"sigX":`), pub, CheckEnvelope},
		{"signature not base64", swap(sig, "!"+sig[1:]), pub, CheckEnvelope},
		{"signature with a line break", swap(sig, sig[:4]+`\n`+sig[4:]), pub, CheckEnvelope},
		{"signature spoiled", swap(sig, "MEQ"+strings.Repeat("A", len(sig)-4)+"="), pub, CheckSignature},
		{"payload a number", `{"payload": 1, "payloadType": "x", "signatures": []}`, pub, CheckEnvelope},
		{"payload not base64", `{"payload": "%%", "payloadType": "x", "signatures": []}`, pub, CheckEnvelope},
		{"signatures no list", `{"payload": "eyJ9", "payloadType": "x", "signatures": 3}`, pub, CheckEnvelope},
		{"not signed", string(read(t, fixtures+"rp-good.json")), pub, CheckSigned},
		{"empty payload", `{"payload": ""}`, pub, CheckSigned},
		{"no JSON", "{", pub, CheckJSON},
		{"RSA key", signed, rsaKey, CheckKey},
		{"no PEM", signed, "x", CheckKey},
		{"private key", signed, string(read(t, fixtures+"ec.key")), CheckKey},
		{"certificate", signed, string(read(t, "../../testdata/vectors/cacert.crt")), CheckKey},
		{"spoiled key", signed, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", CheckKey},
	} {
		payload, err := Verify([]byte(c.envelope), []byte(c.key))
		if payload != nil || check(err) != c.want {
			t.Errorf("%s: check %q (%v), want %q", c.name, check(err), err, c.want)
		}
	}
}

func TestSignECDSA(t *testing.T) {
	t.Parallel()
	key, keyPEM, err := NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParsePrivateKey(keyPEM)
	if err != nil || !again.Equal(key) || !bytes.HasPrefix(keyPEM, []byte("-----BEGIN EC PRIVATE KEY-----\n")) {
		t.Fatalf("%v", err)
	}
	envelope, err := SignECDSA([]byte(`{"a": 1}`), key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := PublicPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := Verify(envelope, public)
	if err != nil || string(payload) != `{"a": 1}` {
		t.Fatalf("%q, %v", payload, err)
	}
	id := sha256.Sum256(public)
	if ids, err := KeyIDs(envelope); err != nil || len(ids) != 1 || ids[0] != hex.EncodeToString(id[:]) {
		t.Errorf("%v, %v", ids, err)
	}
	if !bytes.HasPrefix(envelope, []byte(`{"payload": "eyJhIjogMX0=", "payloadType": "application/vnd.keylime+json", "signatures": [{"keyid": "`)) || !bytes.HasSuffix(envelope, []byte(`"}]}`)) {
		t.Errorf("%s", envelope)
	}
}

func TestSignX509(t *testing.T) {
	t.Parallel()
	key, err := ParsePrivateKey(read(t, fixtures+"ec.key"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	envelope, certPEM, err := SignX509([]byte("{}"), key, rand.Reader, now)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := KeyIDs(envelope)
	if err != nil || len(ids) != 1 || ids[0] != base64.StdEncoding.EncodeToString(certPEM) {
		t.Errorf("key id is not the certificate: %v", err)
	}
	public, err := CertificateKey(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	if payload, err := VerifyWith(envelope, public); err != nil || string(payload) != "{}" {
		t.Errorf("%q, %v", payload, err)
	}
	block, _ := pem.Decode(certPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || cert.Subject.CommonName != "dsse_lib" || cert.Issuer.CommonName != "dsse_lib" || cert.IsCA ||
		!cert.NotAfter.Equal(now.Add(30*24*time.Hour)) || len(cert.DNSNames) != 1 {
		t.Errorf("%+v, %v", cert, err)
	}
	for _, bad := range [][]byte{nil, read(t, fixtures+"ec.pub"), read(t, "../../testdata/vectors/cacert.crt"), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")} {
		if _, err := CertificateKey(bad); check(err) != CheckKey {
			t.Errorf("%.30q: %v", bad, err)
		}
	}
}

func TestParsePrivateKeyRefuses(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte, headers map[string]string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der, Headers: headers})
	}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"nothing", "holds no private key", nil},
		{"public key", "holds no private key", read(t, fixtures+"ec.pub")},
		{"RSA, PKCS #8", "only elliptic curve keys", block("PRIVATE KEY", pkcs8, nil)},
		{"RSA, PKCS #1", "only elliptic curve keys", block("RSA PRIVATE KEY", []byte{1}, nil)},
		{"encrypted", "is encrypted", block("ENCRYPTED PRIVATE KEY", []byte{1}, nil)},
		{"encrypted, old form", "is encrypted", block("EC PRIVATE KEY", []byte{1}, map[string]string{"DEK-Info": "AES-128-CBC,00"})},
		{"spoiled", "cannot be read", block("EC PRIVATE KEY", []byte{1}, nil)},
		{"spoiled, PKCS #8", "cannot be read", block("PRIVATE KEY", []byte{1}, nil)},
	} {
		if key, err := ParsePrivateKey(c.data); key != nil || check(err) != CheckKey || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, want string
		ok         bool
	}{
		{"616263", "abc", true}, // hexadecimal comes first
		{"YWJj", "abc", true},
		{"-_8=", "\xfb\xff", true},
		{"+/8=", "\xfb\xff", true},
		{"abcd", "\xab\xcd", true}, // would be base64 too
		{"", "", true},
		{"YWJj\n", "", false},
		{"YW Jj", "", false},
		{"YWJ", "", false},
	} {
		got, err := decode(c.text)
		if (err == nil) != c.ok || string(got) != c.want {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	envelope, key := vector(f)
	for _, name := range []string{"rp-signed.json", "rp-signed-tampered.json", "rp-good.json"} {
		f.Add(read(f, fixtures+name), read(f, fixtures+"ec.pub"))
	}
	f.Add([]byte(envelope), key)
	f.Fuzz(func(t *testing.T, envelope, key []byte) {
		payload, err := Verify(envelope, key)
		if (err == nil) != (payload != nil) && err != nil {
			t.Fatalf("%q with %v", payload, err)
		}
		unchecked, errOpen := Payload(envelope)
		if err == nil && (errOpen != nil || !bytes.Equal(payload, unchecked)) {
			t.Fatal("verified another payload than there is")
		}
		if (errOpen == nil || check(errOpen) == CheckEnvelope) != IsEnvelope(envelope) {
			t.Fatalf("IsEnvelope disagrees: %v", errOpen)
		}
		_, _ = ParsePrivateKey(key)
		_, _ = CertificateKey(key)
	})
}

// TestNamesAreExact: a verifier, which is Python, reads the members of an
// envelope by their exact names. What encoding/json takes for the same name must
// not decide what is verified: otherwise a signed payload beside the real one
// would vouch for it.
func TestNamesAreExact(t *testing.T) {
	t.Parallel()
	signed, key := vector(t)
	var good map[string]json.RawMessage
	if err := json.Unmarshal(signed, &good); err != nil {
		t.Fatal(err)
	}
	evil := base64.StdEncoding.EncodeToString([]byte(`{"evil": true}`))
	spoiled := func(payload, kind, signatures string) []byte {
		return []byte(`{"payload": "` + evil + `", "payloadType": "` + PayloadType + `", "signatures": [], "` +
			payload + `": ` + string(good["payload"]) + `, "` + kind + `": ` + string(good["payloadType"]) + `, "` + signatures + `": ` + string(good["signatures"]) + `}`)
	}
	for _, names := range [][3]string{
		{"PAYLOAD", "payloadType", "signatures"}, {"Payload", "PayloadType", "Signatures"}, {"payload ", "payloadType", "\u017fignatures"},
	} {
		envelope := spoiled(names[0], names[1], names[2])
		if payload, err := Verify(envelope, key); err == nil {
			t.Errorf("%q: verified %.30q", names, payload)
		}
		if payload, err := Payload(envelope); err != nil || !bytes.Contains(payload, []byte("evil")) {
			t.Errorf("%q: payload %.30q, %v", names, payload, err)
		}
	}
	// Of repeated names the last counts, for a verifier too.
	if payload, err := Verify(spoiled("payload", "payloadType", "signatures"), key); err != nil || bytes.Contains(payload, []byte("evil")) {
		t.Errorf("repeated names: %.30q, %v", payload, err)
	}
	if IsEnvelope([]byte(`{"PAYLOAD": "eyJ9"}`)) {
		t.Error("PAYLOAD is no payload")
	}
	for _, text := range []string{`{"payload": "eyJ9", "PAYLOAD": ""}`, `{"payload": 1e999}`} {
		if !IsEnvelope([]byte(text)) {
			t.Errorf("%s is one", text)
		}
	}
	sig := `"sig": "x", "SIG": ` + string(good["signatures"])
	if err := json.Unmarshal([]byte(`{`+sig+`}`), &signature{}); err != nil {
		t.Error(err)
	}
}

// TestCurves: P-224 signs and verifies; P-192, which Keylime takes, is refused
// by its name.
func TestCurves(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParsePrivateKey(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	if err != nil || !read.Equal(key) {
		t.Fatal(err)
	}
	public, err := PublicPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParsePublicKey(public); err != nil || !key.PublicKey.Equal(again) {
		t.Fatal(err)
	}
	// Made by openssl ecparam -name prime192v1 for this test alone.
	const name = "the curve P-192 is not supported"
	if _, err := ParsePublicKey([]byte(`-----BEGIN PUBLIC KEY-----
MEkwEwYHKoZIzj0CAQYIKoZIzj0DAQEDMgAE/x/QKFNGQyH5YXc89QiDA46LRThx
VUP0qKdDr4fGwGXUfTJgtmo/IJQbV7U1RLrd
-----END PUBLIC KEY-----`)); err == nil || !strings.Contains(err.Error(), name) {
		t.Error(err)
	}
	for _, text := range []string{`-----BEGIN EC PRIVATE KEY-----
MF8CAQEEGBB24g0vaHs3YlaHwe5UCXgdNNNc4v8Ks6AKBggqhkjOPQMBAaE0AzIA
BP8f0ChTRkMh+WF3PPUIgwOOi0U4cVVD9KinQ6+HxsBl1H0yYLZqPyCUG1e1NUS6
3Q==
-----END EC PRIVATE KEY-----`, `-----BEGIN PRIVATE KEY-----
MG8CAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQEEVTBTAgEBBBgQduINL2h7N2JWh8Hu
VAl4HTTTXOL/CrOhNAMyAAT/H9AoU0ZDIflhdzz1CIMDjotFOHFVQ/Sop0Ovh8bA
ZdR9MmC2aj8glBtXtTVEut0=
-----END PRIVATE KEY-----`} {
		if _, err := ParsePrivateKey([]byte(text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Error(err)
		}
	}
}
