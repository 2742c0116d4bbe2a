package verifier

import (
	"encoding/json"
	"os"
	"testing"

	wire "github.com/keylime/keylime-tenant/client/verifier"
)

func FuzzReadAdd(f *testing.F) {
	whole, err := json.Marshal(wire.AddRequest{TPMPolicy: `{"mask": "0x0"}`})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"tpm_policy": null, "cloudagent_port": "9002"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, no, ok := readAdd(body)
		if !ok && (no.Code != 400 || no.Status == "") {
			t.Errorf("refused with %d %q", no.Code, no.Status)
		}
	})
}

func FuzzReadRuntime(f *testing.F) {
	for _, name := range []string{"rp-good.json", "rp-bad.json", "rp-schema-bad.json", "rp-signed.json", "rp-malformed.json"} {
		text, err := os.ReadFile("../../../testdata/golden/fixtures/" + name)
		if err != nil {
			f.Fatal(err)
		}
		encoded, err := json.Marshal(text) // []byte becomes base64
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(encoded[1 : len(encoded)-1]))
	}
	f.Add("*")
	f.Fuzz(func(t *testing.T, encoded string) {
		text, no, ok := readRuntime(encoded)
		if ok != json.Valid([]byte(text)) || ok == (no.Code != 0) {
			t.Errorf("ok %v, text %.100q, answer %d", ok, text, no.Code)
		}
	})
}

func FuzzTPMPolicy(f *testing.F) {
	f.Add(`{"23": ["00"], "mask": "0x800000"}`)
	f.Add(`{"mask": 1}`)
	f.Add(`{"-1": []}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseTPMPolicy(text)
		if err != nil {
			return
		}
		for n := range p.values {
			if n < 0 {
				t.Errorf("register %d", n)
			}
		}
	})
}
