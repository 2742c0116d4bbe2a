package tenant

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestParseTPMPolicy(t *testing.T) {
	t.Parallel()
	sha1, sha256, sha512 := strings.Repeat("0", 40), strings.Repeat("Ab", 32), strings.Repeat("1", 128)
	p, err := ParseTPMPolicy(`{"22": "` + sha256 + `", "0": ["` + sha1 + `", "` + sha512 + `"]}`)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.PCRs(), []int{0, 22}) || p.Mask() != 1<<22|1 {
		t.Errorf("registers %v, mask %x", p.PCRs(), p.Mask())
	}
	if want := `{"22": ["` + strings.ToLower(sha256) + `"], "0": ["` + sha1 + `", "` + sha512 + `"], "mask": "0x400401"}`; p.wire(p.Mask()|imaMask) != want {
		t.Errorf("wire %s, want %s", p.wire(p.Mask()|imaMask), want)
	}
	for _, test := range []struct {
		accepted []string
		want     []int
	}{{[]string{"sha256"}, []int{0}}, {[]string{"sha1", "sha256"}, nil}, {nil, []int{0, 22}}} {
		if got := p.Unsatisfiable(test.accepted); !slices.Equal(got, test.want) {
			t.Errorf("accepting %v: %v, want %v", test.accepted, got, test.want)
		}
	}
	if got := (TPMPolicy{}).wire(0); got != `{"mask": "0x0"}` {
		t.Errorf("empty: %s", got)
	}
}

func TestTPMPolicyRefused(t *testing.T) {
	t.Parallel()
	zero := strings.Repeat("0", 64)
	for text, want := range map[string]struct {
		kind    InvalidKind
		classic string
	}{
		``:                          {InvalidTPMPolicy, ""},
		`{x`:                        {InvalidTPMPolicy, ""},
		`[1]`:                       {InvalidTPMPolicy, ""},
		`null`:                      {InvalidTPMPolicy, ""},
		`{"22": 5}`:                 {InvalidTPMPolicy, ""},
		`{"22": null}`:              {InvalidTPMPolicy, ""},
		`{"22": []}`:                {InvalidTPMPolicy, ""},
		`{"22": "zz"}`:              {InvalidTPMPolicy, ""},
		`{"22": "00"}`:              {InvalidTPMPolicy, ""},
		`{"22": "` + zero + `"`:     {InvalidTPMPolicy, ""},
		`{"22": "` + zero + `"} {}`: {InvalidTPMPolicy, ""},
		`{"22": "` + zero + `", "22": "` + zero + `"}`: {InvalidTPMPolicy, ""},
		`{"16": "` + zero + `"}`:                       {InvalidPCRNumber, "Invalid allowlist PCR number 16, keylime uses this PCR to bind data."},
		`{"10": "` + zero + `"}`:                       {InvalidPCRNumber, "Invalid allowlist PCR number 10, this PCR is used for IMA."},
		`{"24": "` + zero + `"}`:                       {InvalidPCRNumber, "Invalid tpm policy pcr number: 24"},
		`{"25": "` + zero + `"}`:                       {InvalidPCRNumber, "Invalid tpm policy pcr number: 25"},
		`{"-1": "` + zero + `"}`:                       {InvalidPCRNumber, "Invalid tpm policy pcr number: -1"},
		`{"01": "` + zero + `"}`:                       {InvalidPCRNumber, "Invalid tpm policy pcr number: 01"},
		`{"mask": "0x1"}`:                              {InvalidPCRNumber, "Invalid tpm policy pcr number: mask"},
	} {
		p, err := ParseTPMPolicy(text)
		if !isInvalid(want.kind)(err) || len(p.PCRs()) > 0 {
			t.Errorf("%s: %v, %v", text, p, err)
			continue
		}
		if invalid := err.(*InvalidError); want.classic != "" && invalid.Classic != want.classic {
			t.Errorf("%s: classic text %q, want %q", text, invalid.Classic, want.classic)
		}
	}
}

func FuzzParseTPMPolicy(f *testing.F) {
	f.Add(`{"22": ["` + strings.Repeat("0", 64) + `"], "15": "` + strings.Repeat("f", 40) + `"}`)
	f.Add(`{"mask": "0x408000"}`)
	f.Add(`{"16": []}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseTPMPolicy(text)
		if err != nil {
			if len(p.PCRs()) > 0 {
				t.Error("a policy beside an error")
			}
			return
		}
		var wire map[string]any
		if err := json.Unmarshal([]byte(p.wire(p.Mask())), &wire); err != nil || len(wire) != len(p.PCRs())+1 {
			t.Errorf("%q became %s (%v)", text, p.wire(p.Mask()), err)
		}
		if maskOf(p.wire(p.Mask())) != p.Mask() {
			t.Errorf("mask of %s", p.wire(p.Mask()))
		}
	})
}

func TestMaskOfRecords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint32{`{"mask": "0x408000"}`: 0x408000, `{}`: 0, ``: 0, `{"mask": 5}`: 0, `{"mask": "x"}`: 0, `{"mask": "0xfffffffff"}`: 0} {
		if got := maskOf(text); got != want {
			t.Errorf("%s: %x, want %x", text, got, want)
		}
	}
	for text, want := range map[string]string{
		`{"mask": "0x408400", "22": ["00"]}`: `{"22":["00"],"mask":"0x408000"}`,
		`{}`:                                 `{}`,
		`broken`:                             `broken`,
	} {
		if got := withoutIMA(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
