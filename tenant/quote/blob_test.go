package quote_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keylime/keylime-tenant/tenant/quote"
)

// TestBlobRoundTrip: recorded blobs are written again byte for byte.
func TestBlobRoundTrip(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(evidence + "/*/*_pcrs.bin")
	if err != nil || len(files) < 36 {
		t.Fatalf("%d blobs, %v", len(files), err)
	}
	for _, file := range files {
		data := read(t, file)
		blob, err := quote.ParsePCRBlob(data)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		again, err := quote.EncodePCRBlob(blob)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s: written otherwise, %v", file, err)
		}
	}
}

// TestBlobOfAllBanks: all banks and all registers fit.
func TestBlobOfAllBanks(t *testing.T) {
	t.Parallel()
	var want quote.PCRBlob
	var all []int
	for n := range 24 {
		all = append(all, n)
	}
	for bank, size := range map[string]int{"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64} {
		for range all {
			want.Values = append(want.Values, bytes.Repeat([]byte{byte(size)}, size))
		}
		want.Selections = append(want.Selections, quote.Selection{Bank: bank, PCRs: all})
	}
	data, err := quote.EncodePCRBlob(want)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) != 136+12*532 {
		t.Errorf("%d bytes", len(data))
	}
	got, err := quote.ParsePCRBlob(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestEncodeRefuses: what would not be read again is not written.
func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	value := make([]byte, 32)
	one := func(bank string, pcrs []int, values ...[]byte) quote.PCRBlob {
		return quote.PCRBlob{Selections: []quote.Selection{{Bank: bank, PCRs: pcrs}}, Values: values}
	}
	for name, blob := range map[string]quote.PCRBlob{
		"nothing":               {},
		"17 selections":         {Selections: slices.Repeat([]quote.Selection{{Bank: "sha1"}}, 17)},
		"an unknown bank":       one("sm3", []int{0}, value),
		"a value missing":       one("sha256", []int{0, 1}, value),
		"a value too many":      one("sha256", []int{0}, value, value),
		"a value too short":     one("sha256", []int{0}, value[1:]),
		"a register twice":      one("sha256", []int{0, 0}, value, value),
		"out of order":          one("sha256", []int{1, 0}, value, value),
		"a register beyond":     one("sha256", []int{24}, value),
		"a register before all": one("sha256", []int{-1}, value),
	} {
		if data, err := quote.EncodePCRBlob(blob); err == nil {
			t.Errorf("%s: written as %x", name, data)
		}
	}
}
