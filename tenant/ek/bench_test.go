package ek_test

import (
	"fmt"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

func BenchmarkVerify(b *testing.B) {
	store := storeOf(b, map[string][]byte{"swtpm.pem": read(b, "sb-on/ek_ca_chain.pem")})
	der, tpm2b := read(b, "sb-on/ek_cert.der"), read(b, "sb-on/ek_tpm2b_public.bin")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.Verify(der, tpm2b, ek.Options{Now: present()}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoadStore loads as many certificates as Keylime ships.
func BenchmarkLoadStore(b *testing.B) {
	files := map[string][]byte{}
	for n := range 50 {
		files[fmt.Sprintf("%d.pem", n)] = read(b, "sb-on/ek_ca_chain.pem")
	}
	dir := storeOf(b, files).Dir()
	for b.Loop() {
		if _, err := ek.LoadStore(dir); err != nil {
			b.Fatal(err)
		}
	}
}
