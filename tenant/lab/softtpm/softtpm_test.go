package softtpm_test

import (
	"testing"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

func TestQuick(t *testing.T) {
	for _, alg := range []string{"rsa", "ecc", "ecc384", "ecc521", "rsa3072"} {
		tpm, err := softtpm.New(softtpm.Options{EKAlg: "ecc384", AKAlg: alg})
		if err != nil {
			t.Fatal(err)
		}
		if err := tpm.BindTransportKey("hello"); err != nil {
			t.Fatal(err)
		}
		q, err := tpm.QuoteString("nonce", []int{16, 0, 10}, "sha256")
		if err != nil {
			t.Fatal(err)
		}
		v, err := quote.Verify(quote.Untrusted{Quote: q, HashAlg: "sha256", SignAlg: tpm.SignAlg(), TransportKeyPEM: "hello"}, quote.Expect{AK: tpm.AKPublic(), Nonce: "nonce", BindTransportKey: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(v)
		c, err := softtpm.MakeCredential(tpm.EKPublic(), tpm.AKName(), []byte("secret"), nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := tpm.ActivateCredential(c)
		t.Log(string(s), err)
	}
}
