package quote_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/quote"
)

// TestRecorded: every recorded quote passes, and its values are the registers
// that were read beside it.
func TestRecorded(t *testing.T) {
	t.Parallel()
	for _, r := range allRecorded(t) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			v, err := quote.Verify(r.u, r.e)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(v.PCRs(), r.e.Selection) || v.Bank() != "sha256" || v.TransportKeyPEM() != r.u.TransportKeyPEM {
				t.Errorf("PCRs %v of bank %s", v.PCRs(), v.Bank())
			}
			if v.Clock().ResetCount == 0 || v.Clock().Clock == 0 || !v.Clock().Safe || v.FirmwareVersion() != 0x2019102300163636 {
				t.Errorf("clock %+v, firmware %x", v.Clock(), v.FirmwareVersion())
			}
			if v.AKAttributes() != 0x00050072 {
				t.Errorf("AK attributes %#08x", v.AKAttributes())
			}
			wantAK, wantScheme := "rsa2048", "rsassa"
			if strings.HasSuffix(r.name, "ecc") {
				wantAK, wantScheme = "ecc256", "ecdsa"
			}
			if v.AKAlgorithm() != wantAK || v.Scheme() != wantScheme {
				t.Errorf("AK %s, scheme %s", v.AKAlgorithm(), v.Scheme())
			}
			dir, kind, _ := strings.Cut(r.name, "/")
			pcrs := "pcrs.txt"
			if strings.HasPrefix(kind, "integrity_early") {
				pcrs = "pcrs_early.txt"
			}
			if !strings.HasPrefix(kind, "identity") {
				comparePCRs(t, v, string(read(t, evidence+"/"+dir+"/"+pcrs)))
			}
		})
	}
}

// comparePCRs holds the quoted values against lines "bank index hex".
func comparePCRs(t *testing.T, v quote.Verified, text string) {
	t.Helper()
	compared := 0
	for line := range strings.Lines(text) {
		var bank, want string
		var n int
		if _, err := fmt.Sscan(line, &bank, &n, &want); err != nil || bank != v.Bank() {
			continue
		}
		if value, ok := v.PCR(n); ok {
			compared++
			if got := hex.EncodeToString(value); got != strings.ToLower(want) {
				t.Errorf("PCR %d is %s, want %s", n, got, want)
			}
		}
	}
	if compared != len(v.PCRs()) {
		t.Errorf("%d of %d registers compared", compared, len(v.PCRs()))
	}
}

// TestVectors: the quotes that Keylime's own code was run on.
func TestVectors(t *testing.T) {
	t.Parallel()
	v := loadVectors(t)
	rsa := quote.Untrusted{HashAlg: "sha256", TransportKeyPEM: v.QuoteRSA.PubKey}
	expect := quote.Expect{AK: v.QuoteRSA.AK, Nonce: v.QuoteRSA.Nonce, BindTransportKey: true}
	rsa.Quote = v.QuoteRSA.Quote
	expectCheck(t, rsa, expect, "")
	rsa.Quote = v.BadSig.Quote
	expectCheck(t, rsa, expect, quote.CheckSignature)
	rsa.Quote, expect.Selection = v.ManyPCRs.Quote, v.ManyPCRs.PCRs
	expectCheck(t, rsa, expect, "")
	expectCheck(t, quote.Untrusted{Quote: v.QuoteECC.Quote, HashAlg: "sha256", TransportKeyPEM: v.PCR16.PubKey},
		quote.Expect{AK: v.QuoteECC.AK, Nonce: v.QuoteECC.Nonce, BindTransportKey: true}, "")
}

// TestPCROutOfVerified: what Verified hands out is the caller's own.
func TestPCROutOfVerified(t *testing.T) {
	t.Parallel()
	r := recorded(t, "sb-on", "identity", "rsa")
	v, err := quote.Verify(r.u, r.e)
	if err != nil {
		t.Fatal(err)
	}
	value, ok := v.PCR(16)
	if !ok {
		t.Fatal("no PCR 16")
	}
	value[0] ^= 1
	again, _ := v.PCR(16)
	if bytes.Equal(value, again) {
		t.Error("a caller can change a verified value")
	}
	if value, ok := v.PCR(0); ok || value != nil {
		t.Errorf("PCR 0 was not quoted but is %x", value)
	}
}

// TestWithoutBinding: the transport key is not handed out unbound.
func TestWithoutBinding(t *testing.T) {
	t.Parallel()
	r := recorded(t, "sb-on", "identity", "rsa")
	r.e.BindTransportKey = false
	v, err := quote.Verify(r.u, r.e)
	if err != nil || v.TransportKeyPEM() != "" {
		t.Errorf("unbound transport key %q, %v", v.TransportKeyPEM(), err)
	}
}

func deflate(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestCompressed: the form of API 1.0.
func TestCompressed(t *testing.T) {
	t.Parallel()
	r := recorded(t, "sb-on", "integrity", "rsa")
	plain := split(t, r.u.Quote)
	deflated := func() (parts [3][]byte) {
		for i := range plain {
			parts[i] = deflate(t, plain[i])
		}
		return parts
	}
	for _, c := range []struct {
		name  string
		spoil func(parts *[3][]byte)
		want  quote.Check
	}{
		{"as it is", func(*[3][]byte) {}, ""},
		{"one part is not compressed", func(p *[3][]byte) { p[1] = plain[1] }, quote.CheckEncoding},
		{"bytes follow the stream", func(p *[3][]byte) { p[0] = append(p[0], 0) }, quote.CheckEncoding},
		{"the stream is cut", func(p *[3][]byte) { p[2] = p[2][:len(p[2])-5] }, quote.CheckEncoding},
		{"a bomb", func(p *[3][]byte) { p[2] = deflate(t, make([]byte, 1<<20)) }, quote.CheckEncoding},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			parts := deflated()
			c.spoil(&parts)
			u, e := r.u, r.e
			u.Quote, e.Compressed = join(parts), true
			expectCheck(t, u, e, c.want)
		})
	}
	t.Run("compressed where it must not be", func(t *testing.T) {
		t.Parallel()
		u := r.u
		u.Quote = join(deflated())
		expectCheck(t, u, r.e, quote.CheckScheme) // the zlib header in its place
	})
}

// TestDecodedNonce: extraData may be the decoded nonce only if allowed.
func TestDecodedNonce(t *testing.T) {
	t.Parallel()
	tpm := tpmFor(t, "ecc")
	raw := []byte{0, 1, 2, 0xff, 0xfe}
	attest, sig, blob, err := tpm.Quote(raw, []int{16}, "sha256")
	if err != nil {
		t.Fatal(err)
	}
	u := quote.Untrusted{Quote: join([3][]byte{attest, sig, blob}), HashAlg: "sha256"}
	e := quote.Expect{AK: tpm.AKPublic(), Nonce: base64.StdEncoding.EncodeToString(raw)}
	expectCheck(t, u, e, quote.CheckNonce)
	e.DecodedNonce = true
	expectCheck(t, u, e, "")
	e.Nonce = "####"
	expectCheck(t, u, e, quote.CheckNonce)
	e.Nonce = base64.StdEncoding.EncodeToString([]byte{9})
	expectCheck(t, u, e, quote.CheckNonce)
}

// TestEmptyNonce: a quote that answers nothing is not taken for an answer.
func TestEmptyNonce(t *testing.T) {
	t.Parallel()
	tpm := tpmFor(t, "ecc")
	q, err := tpm.QuoteString("", []int{16}, "sha256")
	if err != nil {
		t.Fatal(err)
	}
	expectCheck(t, quote.Untrusted{Quote: q, HashAlg: "sha256"}, quote.Expect{AK: tpm.AKPublic(), DecodedNonce: true}, quote.CheckNonce)
}
