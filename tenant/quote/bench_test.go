package quote_test

import (
	"testing"

	"github.com/keylime/keylime-tenant/tenant/quote"
)

func BenchmarkVerify(b *testing.B) {
	for _, kind := range []string{"identity", "integrity"} {
		for _, algorithm := range []string{"rsa", "ecc"} {
			r := recorded(b, "sb-on", kind, algorithm)
			b.Run(kind+"/"+algorithm, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := quote.Verify(r.u, r.e); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkParsePCRBlob(b *testing.B) {
	data := read(b, evidence+"/sb-on/integrity_pcrs.bin")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := quote.ParsePCRBlob(data); err != nil {
			b.Fatal(err)
		}
	}
}
