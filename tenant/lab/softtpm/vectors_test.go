package softtpm

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/tpmkey"
)

const (
	vectorsFile = "../../../testdata/vectors/vectors.json"
	evidenceDir = "../../../testdata/evidence/"
)

type credentialVector struct {
	EKPrivatePEM string `json:"ek_private_pem"`
	EK           []byte `json:"ek_tpm_b64"`
	AK           []byte `json:"aik_tpm_b64"`
	Blob         []byte `json:"blob_b64"`
	Challenge    string `json:"challenge"`
}

// vectorFile is what Keylime's own code has computed.
type vectorFile struct {
	KDFa struct {
		Key        string `json:"key_hex"`
		Out        string `json:"out_hex"`
		Storage128 string `json:"storage128_ctx_abcd"`
	} `json:"kdfa"`
	KDFe struct {
		Z   string `json:"z_hex"`
		U   string `json:"party_u_hex"`
		V   string `json:"party_v_hex"`
		Out string `json:"out_hex"`
	} `json:"kdfe"`
	QuoteRSA struct {
		AK   []byte `json:"aik_tpm_b64"`
		Name string `json:"aik_name_hex"`
	} `json:"quote_rsa"`
	RSA   credentialVector `json:"makecredential_rsa"`
	ECC   credentialVector `json:"makecredential_ecc"`
	PCR16 struct {
		PubKey string `json:"pubkey_pem"`
		SHA1   string `json:"sha1"`
		SHA256 string `json:"sha256"`
		SHA384 string `json:"sha384"`
	} `json:"pcr16"`
}

func loadVectors(t testing.TB) vectorFile {
	t.Helper()
	text, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectorFile
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestKDFVectors: the key derivations are those of Keylime's code.
func TestKDFVectors(t *testing.T) {
	t.Parallel()
	v := loadVectors(t)
	key := unhex(t, v.KDFa.Key)
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"KDFa", tpm2.KDFa(crypto.SHA256, key, "INTEGRITY", nil, nil, 256), v.KDFa.Out},
		{"KDFa with a context", tpm2.KDFa(crypto.SHA256, key, "STORAGE", []byte{0xab, 0xcd}, nil, 128), v.KDFa.Storage128},
		{"KDFe", tpm2.KDFe(crypto.SHA256, unhex(t, v.KDFe.Z), "IDENTITY", unhex(t, v.KDFe.U), unhex(t, v.KDFe.V), 256), v.KDFe.Out},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// ekOf makes the EK of a vector, of which the private key is known.
func ekOf(t testing.TB, v credentialVector) object {
	t.Helper()
	block, _ := pem.Decode([]byte(v.EKPrivatePEM))
	if block == nil {
		t.Fatal("no PEM")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, err := tpmkey.Parse(v.EK)
	if err != nil {
		t.Fatal(err)
	}
	ek, err := describe(private.(crypto.Signer), "", public)
	if err != nil {
		t.Fatal(err)
	}
	return ek
}

// TestCredentialVectors: Keylime's credentials open, and sealing again with
// the same seed gives the same bytes.
func TestCredentialVectors(t *testing.T) {
	t.Parallel()
	v := loadVectors(t)
	for name, c := range map[string]credentialVector{"rsa": v.RSA, "ecc": v.ECC} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ek := ekOf(t, c)
			akName, err := AKName(c.AK)
			if err != nil {
				t.Fatal(err)
			}
			secret, err := activate(ek, akName, c.Blob)
			if err != nil || string(secret) != c.Challenge {
				t.Fatalf("%q, %v; want %q", secret, err, c.Challenge)
			}
			p, err := protectionOf(ek.public)
			if err != nil {
				t.Fatal(err)
			}
			idObject, rest, err := takeSized(c.Blob[credentialHead:])
			if err != nil {
				t.Fatal(err)
			}
			wrapped, _, err := takeSized(rest)
			if err != nil {
				t.Fatal(err)
			}
			seed, err := p.openSeed(ek.private, wrapped)
			if err != nil {
				t.Fatal(err)
			}
			again, err := p.seal(seed, akName, secret)
			if err != nil || !bytes.Equal(again, idObject) {
				t.Errorf("sealed %x, want %x, %v", again, idObject, err)
			}
			fresh, err := MakeCredential(c.EK, akName, secret, nil)
			if err != nil || len(fresh) != len(c.Blob) {
				t.Fatalf("%d bytes instead of %d, %v", len(fresh), len(c.Blob), err)
			}
			if got, err := activate(ek, akName, fresh); err != nil || string(got) != c.Challenge {
				t.Errorf("own credential: %q, %v", got, err)
			}
		})
	}
}

// TestNames: names and qualified names are those of real TPMs and of Keylime.
func TestNames(t *testing.T) {
	t.Parallel()
	v := loadVectors(t)
	if name, err := AKName(v.QuoteRSA.AK); err != nil || hex.EncodeToString(name) != v.QuoteRSA.Name {
		t.Errorf("%x, %v; want %s", name, err, v.QuoteRSA.Name)
	}
	file := func(name string) []byte {
		data, err := os.ReadFile(evidenceDir + "sb-on/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, ak := range []string{"ak", "ak_ecc"} {
		tpm := &TPM{}
		for _, k := range []struct {
			to   *object
			name string
		}{{&tpm.ek, "ek"}, {&tpm.ak, ak}} {
			public, err := tpmkey.Parse(file(k.name + "_tpm2b_public.bin"))
			if err != nil {
				t.Fatal(err)
			}
			if *k.to, err = describe(nil, "", public); err != nil {
				t.Fatal(err)
			}
			if want := file(k.name + "_name.bin"); !bytes.Equal(k.to.name, want) {
				t.Errorf("%s: name %x, want %x", k.name, k.to.name, want)
			}
		}
		if got, want := tpm.qualifiedName(), file(ak+"_qualified_name.bin"); !bytes.Equal(got, want) {
			t.Errorf("%s: qualified name %x, want %x", ak, got, want)
		}
	}
}

// TestBindingVectors: PCR 16 is what Keylime computes for a transport key.
func TestBindingVectors(t *testing.T) {
	t.Parallel()
	v := loadVectors(t)
	for bank, want := range map[string]string{"sha1": v.PCR16.SHA1, "sha256": v.PCR16.SHA256, "sha384": v.PCR16.SHA384} {
		tpm, err := New(Options{EKAlg: "ecc", AKAlg: "ecc", Hash: bank})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second binding resets the first
			if err := tpm.BindTransportKey(v.PCR16.PubKey); err != nil {
				t.Fatal(err)
			}
		}
		value, err := tpm.PCR(bank, 16)
		if err != nil || hex.EncodeToString(value) != want {
			t.Errorf("%s: %x, %v; want %s", bank, value, err, want)
		}
	}
}

// TestEKTemplates: the public areas begin as the EK Credential Profile says.
func TestEKTemplates(t *testing.T) {
	t.Parallel()
	const low, high = "0020" + policyA + "00060080" + "0043", "0030" + policyB + "00060100" + "0043"
	for algorithm, want := range map[string]string{
		"rsa":    "013a0001000b000300b2" + low + "00100800000000000100",
		"ecc":    "007a0023000b000300b2" + low + "0010000300100020",
		"ecc384": "00aa0023000c000300f2" + high + "0010000400100030",
	} {
		tpm, err := New(Options{EKAlg: algorithm, AKAlg: "ecc"})
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(tpm.EKPublic()); got[:len(want)] != want {
			t.Errorf("%s: %s, want %s", algorithm, got[:len(want)], want)
		}
		if int(binary.BigEndian.Uint16(tpm.EKPublic())) != len(tpm.EKPublic())-2 {
			t.Errorf("%s: wrong size", algorithm)
		}
	}
}
