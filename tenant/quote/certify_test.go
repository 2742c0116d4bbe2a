package quote_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// certifying is a TPM with an IAK.
func certifying(t testing.TB, algorithm string) *softtpm.TPM {
	t.Helper()
	tpm, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err == nil {
		err = tpm.MakeIdentity(algorithm)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tpm
}

func wantCheck(t *testing.T, name string, err error, want quote.Check) {
	t.Helper()
	var refused *quote.VerificationError
	if want == "" && err != nil || want != "" && (!errors.As(err, &refused) || refused.Check != want) {
		t.Errorf("%s: %v, want check %q", name, err, want)
	}
}

// TestVerifyCertify: the keys and schemes; what an attestation says is spoiled
// one by one by the tests of the lab's registrar.
func TestVerifyCertify(t *testing.T) {
	t.Parallel()
	purpose := []byte("agent")
	for _, algorithm := range []string{"rsa", "ecc224", "ecc", "ecc384", "ecc521"} {
		tpm := certifying(t, algorithm)
		attest, sign, err := tpm.Certify(purpose)
		if err != nil {
			t.Fatal(err)
		}
		iak, ak := tpm.IAKPublic(), tpm.AKPublic()
		wantCheck(t, algorithm, quote.VerifyCertify(attest, sign, iak, ak, []byte("x"), purpose), "")
		wantCheck(t, algorithm+", no data expected", quote.VerifyCertify(attest, sign, iak, ak), quote.CheckNonce)
		wantCheck(t, algorithm+", no IAK", quote.VerifyCertify(attest, sign, nil, ak, purpose), quote.CheckAK)
		wantCheck(t, algorithm+", IDevID for IAK", quote.VerifyCertify(attest, sign, tpm.IDevIDPublic(), ak, purpose), quote.CheckSignature)
		wantCheck(t, algorithm+", no signature", quote.VerifyCertify(attest, nil, iak, ak, purpose), quote.CheckSignatureFormat)
		for _, scheme := range [][]byte{{0, 0x18}, {0, 0x14}, {0, 0x16}, {0, 0x1a}} {
			other := append(bytes.Clone(scheme), sign[2:]...)
			if bytes.Equal(other, sign) {
				continue
			}
			if err := quote.VerifyCertify(attest, other, iak, ak, purpose); err == nil {
				t.Errorf("%s: the scheme %x passes", algorithm, scheme)
			}
		}
		hash := bytes.Clone(sign)
		hash[3] = 0x10
		wantCheck(t, algorithm+", no hash", quote.VerifyCertify(attest, hash, iak, ak, purpose), quote.CheckHashAlg)
		short, err := tpm.SignWithIAK(attest[:5])
		if err != nil {
			t.Fatal(err)
		}
		wantCheck(t, algorithm+", cut", quote.VerifyCertify(attest[:5], short, iak, ak, purpose), quote.CheckAttest)
	}
}

// TestVerifyCertifyPSS: an IAK that signs by RSAPSS, with a salt as long as the
// hash, as Keylime wants it.
func TestVerifyCertifyPSS(t *testing.T) {
	t.Parallel()
	tpm := certifying(t, "ecc")
	attest, _, err := tpm.Certify([]byte("agent"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	iak := tpm2.Marshal(tpm2.New2B(tpm2.TPMTPublic{Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
			Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull}, KeyBits: 2048}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: key.N.Bytes()})}))
	digest := sha256.Sum256(attest)
	for _, c := range []struct {
		name string
		salt int
		want quote.Check
	}{{"salt of the hash", rsa.PSSSaltLengthEqualsHash, ""}, {"other salt", 20, quote.CheckSignature}} {
		raw, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: c.salt})
		if err != nil {
			t.Fatal(err)
		}
		sign := append([]byte{0, 0x16, 0, 0x0b, 1, 0}, raw...)
		wantCheck(t, c.name, quote.VerifyCertify(attest, sign, iak, tpm.AKPublic(), []byte("agent")), c.want)
		wantCheck(t, c.name+", more bytes", quote.VerifyCertify(attest, append(sign, 0), iak, tpm.AKPublic(), []byte("agent")), quote.CheckSignatureFormat)
		wantCheck(t, c.name+", ECC key", quote.VerifyCertify(attest, sign, tpm.IAKPublic(), tpm.AKPublic(), []byte("agent")), quote.CheckScheme)
	}
}

// FuzzCertify: no input that differs from the good one passes, nor panics.
func FuzzCertify(f *testing.F) {
	tpm := certifying(f, "ecc")
	attest, sign, err := tpm.Certify([]byte("agent"))
	if err != nil {
		f.Fatal(err)
	}
	iak, ak := tpm.IAKPublic(), tpm.AKPublic()
	f.Add(attest, sign, iak, ak)
	f.Add(attest[:10], sign[:3], iak[:20], ak[:20])
	f.Fuzz(func(t *testing.T, a, s, i, k []byte) {
		if err := quote.VerifyCertify(a, s, i, k, []byte("agent")); err == nil && bytes.Equal(i, iak) && !(bytes.Equal(a, attest) && bytes.Equal(k, ak)) {
			t.Error("passes, and was not made by the TPM")
		}
	})
}
