package tpmkey_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/tpmkey"
)

const evidence = "../../testdata/evidence/sb-on/"

// eccPublic is the public area of a key on a curve.
func eccPublic(curve tpm2.TPMECCCurve, x, y []byte) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgNull}, CurveID: curve, KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull}}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: x}, Y: tpm2.TPM2BECCParameter{Buffer: y}})}
}

func TestCurves(t *testing.T) {
	t.Parallel()
	for id, curve := range map[tpm2.TPMECCCurve]elliptic.Curve{tpm2.TPMECCNistP224: elliptic.P224(), tpm2.TPMECCNistP256: elliptic.P256(),
		tpm2.TPMECCNistP384: elliptic.P384(), tpm2.TPMECCNistP521: elliptic.P521()} {
		name := curve.Params().Name
		for range 300 { // some coordinates begin with zeros
			private, err := ecdsa.GenerateKey(curve, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			point, err := private.PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
			full, err := tpmkey.Key(eccPublic(id, x, y))
			if err != nil || !private.PublicKey.Equal(full) {
				t.Fatalf("%s: %v", name, err)
			}
			// Some TPMs leave leading zeros out.
			short, err := tpmkey.Key(eccPublic(id, bytes.TrimLeft(x, "\x00"), bytes.TrimLeft(y, "\x00")))
			if err != nil || !private.PublicKey.Equal(short) {
				t.Fatalf("%s, short: %v", name, err)
			}
			y[len(y)-1] ^= 1
			if key, err := tpmkey.Key(eccPublic(id, x, y)); err == nil || !strings.Contains(err.Error(), "not on the curve") {
				t.Fatalf("%s: a point beside the curve: %v %v", name, key, err)
			}
			if name == "P-521" {
				break // slow
			}
		}
		for _, bad := range [][2][]byte{{nil, nil}, {make([]byte, 100), make([]byte, 100)}, {bytes.Repeat([]byte{0xff}, 28), bytes.Repeat([]byte{0xff}, 28)}} {
			if key, err := tpmkey.Key(eccPublic(id, bad[0], bad[1])); err == nil || key != nil {
				t.Errorf("%s: %x is a key", name, bad)
			}
		}
	}
	for id, words := range map[tpm2.TPMECCCurve]string{tpm2.TPMECCNistP192: "P-192 are too weak and not supported", tpm2.TPMECCSM2P256: "the curve 0x0020 are not supported", 0: "0x0000"} {
		if _, err := tpmkey.Key(eccPublic(id, make([]byte, 24), make([]byte, 24))); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%#x: %v", id, err)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ek", "ak", "ak_ecc"} {
		tpm2b, err := os.ReadFile(evidence + name + "_tpm2b_public.bin")
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(evidence + name + "_name.bin")
		if err != nil {
			t.Fatal(err)
		}
		public, err := tpmkey.Parse(tpm2b)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tpmkey.Name(public); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %s, want %s, %v", name, hex.EncodeToString(got), hex.EncodeToString(want), err)
		}
		if key, err := tpmkey.Key(public); err != nil || key == nil {
			t.Errorf("%s: %v", name, err)
		}
		longer := append(bytes.Clone(tpm2b), 0)
		inside := append(bytes.Clone(tpm2b), 0)
		inside[1]++
		for what, bad := range map[string][]byte{"nothing": nil, "cut": tpm2b[:len(tpm2b)-1], "behind": longer, "inside": inside} {
			if _, err := tpmkey.Parse(bad); err == nil || !strings.Contains(err.Error(), "TPM2B_PUBLIC") {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"ek", "ak", "ak_ecc"} {
		tpm2b, err := os.ReadFile(evidence + name + "_tpm2b_public.bin")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(tpm2b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		public, err := tpmkey.Parse(data)
		if err != nil {
			return
		}
		if !bytes.Equal(tpm2.Marshal(tpm2.New2B(public)), data) {
			t.Error("another structure was read than was written")
		}
		_, _ = tpmkey.Key(public)
		_, _ = tpmkey.Name(public)
	})
}
