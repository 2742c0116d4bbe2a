package softtpm_test

import (
	"bytes"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// TestCertifyAK: the AK vouches for itself, for one challenge, and nobody else's
// does.
func TestCertifyAK(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"rsa", "ecc", "ecc384"} {
		tpm, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: kind})
		if err != nil {
			t.Fatal(err)
		}
		attest, signature, err := tpm.CertifyAK([]byte("challenge"))
		if err != nil {
			t.Fatal(err)
		}
		ak := tpm.AKPublic()
		if err := quote.VerifyCertify(attest, signature, ak, ak, []byte("challenge")); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if quote.VerifyCertify(attest, signature, ak, ak, []byte("another")) == nil {
			t.Errorf("%s: it answers another challenge", kind)
		}
		other, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
		if err != nil {
			t.Fatal(err)
		}
		if quote.VerifyCertify(attest, signature, other.AKPublic(), other.AKPublic(), []byte("challenge")) == nil {
			t.Errorf("%s: it vouches for another key", kind)
		}
		if algorithm, bits := tpm.AKAlg(); algorithm != kind[:3] || bits < 256 {
			t.Errorf("%s: %s %d", kind, algorithm, bits)
		}
		if _, _, err := tpm.CertifyAK(bytes.Repeat([]byte("x"), 67)); err == nil {
			t.Error("a challenge that is too long")
		}
	}
}
