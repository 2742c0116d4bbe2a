package ek_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

// TestPublicRecorded: the PEM is what tpm2-tools and OpenSSL have written.
func TestPublicRecorded(t *testing.T) {
	t.Parallel()
	for name, pem := range map[string]string{
		"ek_tpm2b_public.bin": "ek_pub.pem", "ak_tpm2b_public.bin": "ak_pub.pem", "ak_ecc_tpm2b_public.bin": "ak_ecc_pub.pem"} {
		files, err := filepath.Glob(evidence + "*/" + name)
		if err != nil || len(files) < 6 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		for _, file := range files {
			tpm2b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join(filepath.Dir(file), pem))
			if err != nil {
				t.Fatal(err)
			}
			public, err := ek.ParsePublic(tpm2b)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			digest := sha256.Sum256(want)
			if public.PEM != string(want) || public.Hash() != hex.EncodeToString(digest[:]) || !bytes.Equal(public.Raw, tpm2b) {
				t.Errorf("%s: %q, want %q", file, public.PEM, want)
			}
		}
	}
}

// TestPublicVectors: the EKs that Keylime's code made.
func TestPublicVectors(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../testdata/vectors/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	type entry struct {
		EK []byte `json:"ek_tpm_b64"`
	}
	var v struct {
		RSA entry `json:"makecredential_rsa"`
		ECC entry `json:"makecredential_ecc"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	for want, tpm2b := range map[string][]byte{"rsa2048": v.RSA.EK, "ecc256": v.ECC.EK} {
		if public, err := ek.ParsePublic(tpm2b); err != nil || public.Algorithm() != want {
			t.Errorf("%s, %v; want %s", public.Algorithm(), err, want)
		}
	}
}

// TestPublicRefuses spoils a TPM2B_PUBLIC in each way that go-tpm overlooks.
func TestPublicRefuses(t *testing.T) {
	t.Parallel()
	rsa, ecc := read(t, "sb-on/ek_tpm2b_public.bin"), read(t, "sb-on/ak_ecc_tpm2b_public.bin")
	longer := append(slices.Clone(rsa), 0)
	binary.BigEndian.PutUint16(longer, uint16(len(longer)-2))
	patch := func(data []byte, offset int, b ...byte) []byte {
		data = slices.Clone(data)
		copy(data[offset:], b)
		return data
	}
	for name, bad := range map[string][]byte{
		"nothing":                 nil,
		"a byte more":             append(slices.Clone(rsa), 0),
		"a byte more inside":      longer,
		"a byte less":             rsa[:len(rsa)-1],
		"without its length":      rsa[2:],
		"length zero":             {0, 0},
		"type without public key": patch(rsa, 2, 0, 8), // KEYEDHASH
		"unknown type":            patch(rsa, 2, 0x77, 0x77),
		"RSA: other key size":     patch(rsa, 52, 0x04, 0x00),
		"ECC: unknown curve":      patch(ecc, 18, 0, 1),
		"ECC: not on its curve":   patch(ecc, len(ecc)-1, ecc[len(ecc)-1]^1),
	} {
		if public, err := ek.ParsePublic(bad); err == nil {
			t.Errorf("%s: %+v", name, public)
		}
	}
}
