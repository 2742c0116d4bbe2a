package softtpm_test

import (
	"testing"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

func BenchmarkQuote(b *testing.B) {
	for name, state := range map[string]func() ([]byte, error){"rsa": rsaState, "ecc": eccState} {
		tpm := load(b, state, softtpm.Options{})
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := tpm.QuoteString("nonce", []int{16}, "sha256"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
