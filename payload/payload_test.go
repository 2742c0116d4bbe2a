package payload_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/payload"
)

// vectors are outputs of upstream code; see testdata/vectors/README.md.
type vectors struct {
	HMAC struct {
		KeyHex  string `json:"key_hex"`
		Message string `json:"msg"`
		HMACHex string `json:"hmac_sha384_hex"`
	} `json:"hmac"`
	AESGCM struct {
		KeyHex    string `json:"key_hex"`
		IVHex     string `json:"iv_hex"`
		Plaintext string `json:"plaintext"`
		BlobB64   string `json:"blob_b64"`
	} `json:"aes_gcm"`
	OAEP struct {
		PrivatePEM    string `json:"nk_private_pem"`
		PlaintextHex  string `json:"plaintext_hex"`
		CiphertextB64 string `json:"ciphertext_b64"`
	} `json:"oaep_sha1"`
}

func load(t testing.TB) vectors {
	t.Helper()
	text, err := os.ReadFile("../testdata/vectors/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func secretHex(t testing.TB, text string) payload.Secret {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return payload.NewSecret(b)
}

func wantKind(t *testing.T, err error, kind payload.Kind) {
	t.Helper()
	var e *payload.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Errorf("error %v, want kind %s", err, kind)
	}
}

func TestProofVectors(t *testing.T) {
	t.Parallel()
	v := load(t).HMAC
	k := secretHex(t, v.KeyHex)
	if got := payload.AuthTag(k, v.Message); got != v.HMACHex {
		t.Errorf("auth tag %s", got)
	}
	if got := payload.Challenge(k, v.Message); got != v.HMACHex {
		t.Errorf("challenge %s", got)
	}
	if !payload.EqualTag(v.HMACHex, strings.ToUpper(v.HMACHex)) {
		t.Error("equal tags differ")
	}
	for _, bad := range []string{"", "zz", v.HMACHex[2:], "00" + v.HMACHex[2:]} {
		if payload.EqualTag(v.HMACHex, bad) {
			t.Errorf("%q is taken for the tag", bad)
		}
	}
	if payload.EqualTag("", "") {
		t.Error("no tag is taken for a tag")
	}
}

func TestSealVectors(t *testing.T) {
	t.Parallel()
	v := load(t).AESGCM
	k, iv := secretHex(t, v.KeyHex), secretHex(t, v.IVHex)
	sealed, err := payload.Seal(k, []byte(v.Plaintext), bytes.NewReader(iv.Bytes()))
	if err != nil || sealed != v.BlobB64 {
		t.Errorf("sealed %s, %v", sealed, err)
	}
	plain, err := payload.Open(k, " "+v.BlobB64+"\n")
	if err != nil || string(plain) != v.Plaintext {
		t.Errorf("opened %q, %v", plain, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	v := load(t).AESGCM
	k := secretHex(t, v.KeyHex)
	blob, err := base64.StdEncoding.DecodeString(v.BlobB64)
	if err != nil {
		t.Fatal(err)
	}
	for i := range blob { // IV, ciphertext and tag: each byte matters
		spoiled := bytes.Clone(blob)
		spoiled[i] ^= 1
		_, err := payload.Open(k, base64.StdEncoding.EncodeToString(spoiled))
		wantKind(t, err, payload.NotAuthentic)
	}
	_, err = payload.Open(payload.NewSecret(make([]byte, 32)), v.BlobB64)
	wantKind(t, err, payload.NotAuthentic)
	_, err = payload.Open(k, base64.StdEncoding.EncodeToString(blob[:31]))
	wantKind(t, err, payload.TooShort)
	_, err = payload.Open(k, "")
	wantKind(t, err, payload.TooShort)
	_, err = payload.Open(k, "*")
	wantKind(t, err, payload.NotBase64)
	for _, n := range []int{0, 15, 24, 33} {
		_, err = payload.Open(payload.NewSecret(make([]byte, n)), v.BlobB64)
		wantKind(t, err, payload.BadKeyLength)
		_, err = payload.Seal(payload.NewSecret(make([]byte, n)), nil, nil)
		wantKind(t, err, payload.BadKeyLength)
	}
	_, err = payload.Seal(k, nil, strings.NewReader("short"))
	wantKind(t, err, payload.NoRandomness)
}

func TestShareVectors(t *testing.T) {
	t.Parallel()
	v := load(t).OAEP
	block, _ := pem.Decode([]byte(v.PrivatePEM))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := parsed.(*rsa.PrivateKey)
	share, err := payload.OpenShare(key, v.CiphertextB64)
	if err != nil || !share.Equal(secretHex(t, v.PlaintextHex)) {
		t.Fatalf("opened: %v", err)
	}
	sealed, err := payload.SealShare(share, publicPEM(t, &key.PublicKey), nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := payload.OpenShare(key, sealed); err != nil || !again.Equal(share) {
		t.Errorf("there and back: %v", err)
	}
	_, err = payload.OpenShare(key, "*")
	wantKind(t, err, payload.NotBase64)
	_, err = payload.OpenShare(key, v.CiphertextB64[:len(v.CiphertextB64)-4])
	wantKind(t, err, payload.NotAuthentic)
	_, err = payload.OpenShare(key, "A"+v.CiphertextB64[1:])
	wantKind(t, err, payload.NotAuthentic)
}

func publicPEM(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestSealShareRefuses(t *testing.T) {
	t.Parallel()
	share := payload.NewSecret(make([]byte, 32))
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	huge := rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 16384), big.NewInt(1)), E: 65537}
	for name, text := range map[string]string{
		"huge":    publicPEM(t, &huge), // of a size that takes hours an interrupt would not end it
		"nothing": "", "no PEM": "hello", "small": publicPEM(t, &small.PublicKey), "EC": publicPEM(t, &ec.PublicKey),
		"another kind": strings.ReplaceAll(publicPEM(t, &small.PublicKey), "PUBLIC KEY", "CERTIFICATE"),
		"damaged":      "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := payload.SealShare(share, text, nil)
			wantKind(t, err, payload.BadTransportKey)
		})
	}
	_, err = payload.SealShare(payload.NewSecret([]byte("short")), "", nil)
	wantKind(t, err, payload.BadKeyLength)
}

func TestNewChallenge(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		c, err := payload.NewChallenge(nil)
		if err != nil || len(c) != 20 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" || seen[c] {
			t.Fatalf("challenge %q, %v", c, err)
		}
		seen[c] = true
	}
	// Bytes from 248 on would favour letters, so they are passed over.
	c, err := payload.NewChallenge(bytes.NewReader(append(bytes.Repeat([]byte{248, 255}, 10), bytes.Repeat([]byte{0, 61}, 10)...)))
	if err != nil || c != strings.Repeat("A9", 10) {
		t.Errorf("challenge %q, %v", c, err)
	}
	_, err = payload.NewChallenge(strings.NewReader("short"))
	wantKind(t, err, payload.NoRandomness)
	_, err = payload.NewChallenge(endless(0xff))
	wantKind(t, err, payload.NoRandomness)
}

// endless is a reader of one byte for ever.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

var _ io.Reader = endless(0)

func BenchmarkSeal(b *testing.B) {
	k, plain := payload.NewSecret(make([]byte, 32)), make([]byte, 1<<20)
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if _, err := payload.Seal(k, plain, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzOpen: no text opens but one that was sealed under the key.
func FuzzOpen(f *testing.F) {
	v := load(f).AESGCM
	k := secretHex(f, v.KeyHex)
	content, err := os.ReadFile("../testdata/golden/fixtures/content_payload.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v.BlobB64)
	f.Add(string(content))
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		plain, err := payload.Open(k, text)
		if err != nil && plain != nil {
			t.Error("a result beside an error")
		}
		if err == nil && string(plain) != v.Plaintext {
			t.Errorf("forged: %q", text)
		}
	})
}
