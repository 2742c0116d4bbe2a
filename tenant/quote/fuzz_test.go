package quote_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/quote"
)

// FuzzVerify: no input makes Verify panic, pass without all its parts being
// those that were signed, or fail without naming a check.
func FuzzVerify(f *testing.F) {
	v := loadVectors(f)
	ak, nonce := recorded(f, "sb-on", "identity", "rsa").e.AK, recorded(f, "sb-on", "identity", "rsa").e.Nonce
	for _, r := range allRecorded(f) {
		f.Add(r.u.Quote, r.u.TransportKeyPEM, r.e.AK, r.e.Nonce, false)
	}
	f.Add(v.QuoteRSA.Quote, v.QuoteRSA.PubKey, v.QuoteRSA.AK, v.QuoteRSA.Nonce, false)
	f.Add(v.BadSig.Quote, v.QuoteRSA.PubKey, v.QuoteRSA.AK, v.QuoteRSA.Nonce, false)
	f.Add(v.QuoteECC.Quote, v.PCR16.PubKey, v.QuoteECC.AK, v.QuoteECC.Nonce, true)
	f.Add("r::", "", ak, nonce, true)
	f.Fuzz(func(t *testing.T, q, key string, ak []byte, nonce string, compressed bool) {
		got, err := quote.Verify(quote.Untrusted{Quote: q, HashAlg: "sha256", TransportKeyPEM: key},
			quote.Expect{AK: ak, Nonce: nonce, BindTransportKey: true, Compressed: compressed, DecodedNonce: true})
		if err != nil {
			if checkOf(t, err) == "" {
				t.Error("an error without a check")
			}
			return
		}
		if _, bound := got.PCR(16); !bound || got.TransportKeyPEM() != key {
			t.Error("passed without binding the transport key")
		}
	})
}

// FuzzParsePCRBlob: a blob that is read is written again as it was, save the
// padding; every failure yields nothing.
func FuzzParsePCRBlob(f *testing.F) {
	files, err := filepath.Glob(evidence + "/sb-on/*_pcrs.bin")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		f.Add(read(f, file))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		blob, err := quote.ParsePCRBlob(data)
		if err != nil {
			if blob.Selections != nil || blob.Values != nil {
				t.Error("a refused blob has contents")
			}
			return
		}
		again, err := quote.EncodePCRBlob(blob)
		if err != nil {
			t.Fatalf("read, but not written: %v", err)
		}
		second, err := quote.ParsePCRBlob(again)
		if err != nil {
			t.Fatalf("written, but not read: %v", err)
		}
		if len(second.Values) != len(blob.Values) {
			t.Fatal("values lost")
		}
		for i := range blob.Values {
			if !bytes.Equal(blob.Values[i], second.Values[i]) {
				t.Fatal("a value changed")
			}
		}
	})
}
