package quote_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

const evidence = "../../testdata/evidence"

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// recording is a recorded quote that passes: what the agent would have said,
// and what a tenant would have expected.
type recording struct {
	name string
	u    quote.Untrusted
	e    quote.Expect
}

// recorded loads one quote of a boot: kind identity, integrity_early or
// integrity; algorithm rsa or ecc.
func recorded(t testing.TB, dir, kind, algorithm string) recording {
	t.Helper()
	at := func(name string) string { return filepath.Join(evidence, dir, name) }
	infix, sign := "", "rsassa"
	if algorithm == "ecc" {
		infix, sign = "_ecc", "ecdsa"
	}
	selection := []int{16}
	if kind != "identity" {
		selection = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	}
	return recording{
		name: dir + "/" + kind + "/" + algorithm,
		u: quote.Untrusted{Quote: strings.TrimSpace(string(read(t, at(kind+infix+"_quote.txt")))),
			HashAlg: "sha256", EncAlg: "rsa", SignAlg: sign, TransportKeyPEM: string(read(t, at("nk_pub.pem")))},
		e: quote.Expect{AK: read(t, at("ak"+infix+"_tpm2b_public.bin")), Nonce: string(read(t, at("nonce_"+kind+".txt"))),
			AcceptHash: []string{"sha512", "sha384", "sha256"}, AcceptEnc: []string{"ecc", "rsa2048"}, AcceptSign: []string{"ecdsa", "rsassa"},
			BindTransportKey: true, Selection: selection},
	}
}

// allRecorded are all recorded quotes of all boots.
func allRecorded(t testing.TB) []recording {
	t.Helper()
	metas, err := filepath.Glob(evidence + "/*/meta.json")
	if err != nil || len(metas) < 6 {
		t.Fatalf("%d recorded boots, %v", len(metas), err)
	}
	var all []recording
	for _, meta := range metas {
		for _, kind := range []string{"identity", "integrity_early", "integrity"} {
			for _, algorithm := range []string{"rsa", "ecc"} {
				all = append(all, recorded(t, filepath.Base(filepath.Dir(meta)), kind, algorithm))
			}
		}
	}
	return all
}

// split and join take a quote string apart and put it together.
func split(t testing.TB, q string) [3][]byte {
	t.Helper()
	var parts [3][]byte
	for i, text := range strings.Split(strings.TrimPrefix(q, "r"), ":") {
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		parts[i] = data
	}
	return parts
}

func join(parts [3][]byte) string {
	b64 := base64.StdEncoding.EncodeToString
	return "r" + b64(parts[0]) + ":" + b64(parts[1]) + ":" + b64(parts[2])
}

// checkOf is the check that an error names, "" for no error.
func checkOf(t testing.TB, err error) quote.Check {
	t.Helper()
	if err == nil {
		return ""
	}
	var failure *quote.VerificationError
	if !errors.As(err, &failure) {
		t.Fatalf("%T is not a *VerificationError: %v", err, err)
	}
	return failure.Check
}

// expectCheck verifies and demands that this very check refuses the quote.
func expectCheck(t *testing.T, u quote.Untrusted, e quote.Expect, want quote.Check) {
	t.Helper()
	v, err := quote.Verify(u, e)
	if got := checkOf(t, err); got != want {
		t.Errorf("check %q refused it, want %q: %v", got, want, err)
	}
	if err != nil && (v.Bank() != "" || len(v.PCRs()) != 0 || v.TransportKeyPEM() != "") {
		t.Errorf("a refused quote has results: %+v", v)
	}
}

// vectors are the quotes of Keylime's own vectors.
type vectors struct {
	QuoteRSA struct {
		Nonce  string `json:"nonce"`
		AK     []byte `json:"aik_tpm_b64"`
		PubKey string `json:"pubkey_pem"`
		Quote  string `json:"quote"`
	} `json:"quote_rsa"`
	BadSig struct {
		Quote string `json:"quote"`
	} `json:"quote_rsa_bad_sig"`
	ManyPCRs struct {
		PCRs  []int  `json:"pcrs"`
		Quote string `json:"quote"`
	} `json:"quote_rsa_many_pcrs"`
	QuoteECC struct {
		Nonce string `json:"nonce"`
		AK    []byte `json:"aik_tpm_b64"`
		Quote string `json:"quote"`
	} `json:"quote_ecc"`
	PCR16 struct {
		PubKey string `json:"pubkey_pem"`
	} `json:"pcr16"`
}

func loadVectors(t testing.TB) vectors {
	t.Helper()
	var v vectors
	if err := json.Unmarshal(read(t, "../../testdata/vectors/vectors.json"), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// The TPMs of these tests: their keys are made once.
var (
	rsaTPM = sync.OnceValues(func() (*softtpm.TPM, error) { return softtpm.New(softtpm.Options{}) })
	eccTPM = sync.OnceValues(func() (*softtpm.TPM, error) { return softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"}) })
)

func tpmFor(t testing.TB, algorithm string) *softtpm.TPM {
	t.Helper()
	made := rsaTPM
	if algorithm == "ecc" {
		made = eccTPM
	}
	tpm, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return tpm
}
