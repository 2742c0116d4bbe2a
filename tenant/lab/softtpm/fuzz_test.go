package softtpm

import "testing"

// FuzzActivate: no credential makes the TPM panic, and none but the real one
// opens.
func FuzzActivate(f *testing.F) {
	v := loadVectors(f)
	f.Add(v.RSA.Blob, true)
	f.Add(v.ECC.Blob, false)
	f.Add([]byte{0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1}, false)
	rsaEK, eccEK := ekOf(f, v.RSA), ekOf(f, v.ECC)
	akName, err := AKName(v.RSA.AK)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, blob []byte, rsa bool) {
		ek, want := eccEK, v.ECC.Challenge
		if rsa {
			ek, want = rsaEK, v.RSA.Challenge
		}
		if secret, err := activate(ek, akName, blob); err == nil && string(secret) != want {
			t.Errorf("a forged credential was opened: %q", secret)
		}
	})
}

// FuzzLoad: no state file makes Load panic, and what it loads can be saved.
func FuzzLoad(f *testing.F) {
	tpm, err := New(Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		f.Fatal(err)
	}
	text, err := tpm.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version":1,"hash":"sha256"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		tpm, err := Load(text, Options{})
		if err != nil {
			return
		}
		if _, err := tpm.Marshal(); err != nil {
			t.Error(err)
		}
	})
}
